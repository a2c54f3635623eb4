"""ECG-Chat's pretrain_mimic.json -> manifest: recordings of MIMIC-IV-ECG with its conversations.

    python manifests/ecg_chat.py PRETRAIN_JSON --mimic-iv-ecg MIMIC_DIR --out DIR --recipe ecg_byte

The file has no split: sides are drawn by subject.
"""

import argparse
import sys
from pathlib import Path

from ecg_fairseq.records.datasets.ecg_chat import ecg_chat_dataset
from ecg_fairseq.records.datasets.recordings_options import add_subject_options
from ecg_fairseq.records.preparation.command_line import manifest_parser, run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "ECG-Chat's pretrain_mimic.json")
    parser.add_argument(
        "--mimic-iv-ecg", type=Path, metavar="DIR", required=True, help="MIMIC-IV-ECG's folder"
    )
    add_subject_options(parser)
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return ecg_chat_dataset(
        arguments.raw_dir,
        arguments.mimic_iv_ecg,
        arguments.patients,
        arguments.fraction,
        arguments.seed,
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
