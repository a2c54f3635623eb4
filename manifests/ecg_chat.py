"""ECG-Chat's pretrain_mimic.json -> manifest: recordings of MIMIC-IV-ECG with its conversations.

    python manifests/ecg_chat.py PRETRAIN_JSON --mimic-iv-ecg MIMIC_DIR --out DIR --recipe ecg_byte

The file has no split: sides are drawn by subject.
"""

import argparse
import sys
from pathlib import Path

from ecg_fairseq.records.cohort import Cohort
from ecg_fairseq.records.ecg_chat import ecg_chat_cohort
from ecg_fairseq.records.prepare_command import manifest_parser, run_manifest_script
from ecg_fairseq.records.recordings_command import add_subject_options


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "ECG-Chat's pretrain_mimic.json")
    parser.add_argument(
        "--mimic-iv-ecg", type=Path, metavar="DIR", required=True, help="MIMIC-IV-ECG's folder"
    )
    add_subject_options(parser)
    return parser


def make_cohort(arguments: argparse.Namespace) -> Cohort:
    """Return the cohort the arguments ask for."""
    return ecg_chat_cohort(
        arguments.raw_dir,
        arguments.mimic_iv_ecg,
        arguments.patients,
        arguments.fraction,
        arguments.seed,
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_cohort))
