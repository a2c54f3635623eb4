"""LUDB -> manifest: rhythm, axis and diagnoses from the header comments.

python manifests/ludb.py RAW_DIR --out DIR --recipe ecg_fm --label-set rhythm
"""

import argparse
import sys

from ecg_fairseq.records.cohort import Cohort
from ecg_fairseq.records.ludb import LABEL_SETS, ludb_cohort
from ecg_fairseq.records.prepare_command import manifest_parser, run_manifest_script


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "LUDB's folder (holds data/1.hea)")
    parser.add_argument("--split", choices=("patient",), default="patient", help="split rule")
    parser.add_argument(
        "--label-set", choices=list(LABEL_SETS), default="all", help="columns of labels/y.npy"
    )
    return parser


def make_cohort(arguments: argparse.Namespace) -> Cohort:
    """Return the cohort the arguments ask for."""
    return ludb_cohort(arguments.raw_dir, arguments.label_set, arguments.fraction, arguments.seed)


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_cohort))
