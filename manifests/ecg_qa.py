"""ECG-QA -> manifest: the recordings of PTB-XL or of MIMIC-IV-ECG with ECG-QA's questions.

    python manifests/ecg_qa.py ECG_QA_DIR --ptb-xl PTB_XL_DIR --out DIR --recipe ecg_byte
    python manifests/ecg_qa.py ECG_QA_DIR --mimic-iv-ecg MIMIC_DIR --out DIR --recipe ecg_byte

ECG-QA's own mapping step is not needed: recordings are found through ptbxl_database.csv or
record_list.csv.
"""

import argparse
import sys

from ecg_fairseq.records.datasets.ecg_qa import ecg_qa_dataset, ecg_qa_mimic_dataset
from ecg_fairseq.records.datasets.ecg_qa_options import add_question_options, choice_from
from ecg_fairseq.records.datasets.recordings_options import (
    add_recordings_options,
    recordings_dataset,
)
from ecg_fairseq.records.preparation.command_line import manifest_parser, run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "ECG-QA's folder (holds ecgqa)")
    add_recordings_options(parser)
    add_question_options(parser)
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    folder, choice = arguments.raw_dir, choice_from(arguments)
    return recordings_dataset(
        arguments,
        lambda ptb_xl, rate, labels: ecg_qa_dataset(folder, ptb_xl, choice, rate, labels),
        lambda mimic, patients: ecg_qa_mimic_dataset(folder, mimic, choice, patients),
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
