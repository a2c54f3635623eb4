"""CODE-15% -> manifest: exams.csv with exams_part*.hdf5, or fairseq-signals' meta.csv and org/.

    python manifests/code_15.py RAW_DIR --out DIR --recipe ecg_fm --workers 8

No split is published: sides are drawn by patient, or read from a file (--split file).
"""

import argparse
import sys
from pathlib import Path

from ecg_fairseq.records.datasets.code_15 import (
    LABEL_SET_CHOICES,
    SPLIT_FILE,
    SPLIT_RULES,
    Code15Choice,
    code_15_dataset,
)
from ecg_fairseq.records.preparation.command_line import manifest_parser, run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "CODE-15%'s folder (holds exams.csv, or meta.csv and org/)")
    parser.add_argument("--split", choices=SPLIT_RULES, default="patient", help="split rule")
    parser.add_argument(
        "--split-file",
        type=Path,
        metavar="CSV",
        help=f"for --split file: split and exam_id, save_file or idx (default {SPLIT_FILE})",
    )
    parser.add_argument(
        "--label-set",
        choices=LABEL_SET_CHOICES,
        default="code_15",
        help="columns of labels/y.npy: fairseq-signals' eight, or the six diagnoses",
    )
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    choice = Code15Choice(
        arguments.split,
        arguments.split_file,
        arguments.label_set,
        arguments.fraction,
        arguments.seed,
    )
    return code_15_dataset(arguments.raw_dir, choice)


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
