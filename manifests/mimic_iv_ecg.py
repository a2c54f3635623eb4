"""MIMIC-IV-ECG -> manifest: the device's reports and measurements, sides drawn by subject.

    python manifests/mimic_iv_ecg.py RAW_DIR --out DIR --recipe ecg_byte --dtype int16 --workers 8

Labels: --label-table with a column study_id, or ECG-FM's labels.csv. Recordings with missing
samples are listed in skipped.tsv.
"""

import argparse
import sys

from ecg_fairseq.records.datasets.mimic_iv_ecg import mimic_iv_ecg_dataset
from ecg_fairseq.records.datasets.recordings_options import add_subject_options
from ecg_fairseq.records.preparation.command_line import manifest_parser, run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "MIMIC-IV-ECG's folder (holds record_list.csv)")
    add_subject_options(parser)
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return mimic_iv_ecg_dataset(
        arguments.raw_dir, arguments.patients, arguments.fraction, arguments.seed
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
