"""LUDB -> manifest: rhythm, axis and diagnoses from the header comments.

python manifests/ludb.py RAW_DIR --out DIR --recipe ecg_fm --label-set rhythm
"""

import argparse
import sys

from ecg_fairseq.records.datasets.ludb import LABEL_SETS, ludb_dataset
from ecg_fairseq.records.preparation.command_line import manifest_parser, run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "LUDB's folder (holds data/1.hea)")
    parser.add_argument("--split", choices=("patient",), default="patient", help="split rule")
    parser.add_argument(
        "--label-set", choices=list(LABEL_SETS), default="all", help="columns of labels/y.npy"
    )
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return ludb_dataset(arguments.raw_dir, arguments.label_set, arguments.fraction, arguments.seed)


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
