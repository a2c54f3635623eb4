"""MIMIC-IV-ECG -> manifest: the device's reports and measurements, sides drawn by subject.

    python manifests/mimic_iv_ecg.py RAW_DIR --out DIR --recipe ecg_byte --dtype int16 --workers 8

Labels: --label-table with a column study_id, or ECG-FM's labels.csv. Recordings with missing
samples are listed in skipped.tsv.
"""

import argparse
import sys

from ecg_fairseq.records.cohort import Cohort
from ecg_fairseq.records.mimic_iv_ecg import mimic_iv_ecg_cohort
from ecg_fairseq.records.prepare_command import manifest_parser, run_manifest_script
from ecg_fairseq.records.recordings_command import add_subject_options


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "MIMIC-IV-ECG's folder (holds record_list.csv)")
    add_subject_options(parser)
    return parser


def make_cohort(arguments: argparse.Namespace) -> Cohort:
    """Return the cohort the arguments ask for."""
    return mimic_iv_ecg_cohort(
        arguments.raw_dir, arguments.patients, arguments.fraction, arguments.seed
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_cohort))
