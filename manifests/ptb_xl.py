"""PTB-XL -> manifest: published folds, SCP labels, reports; questions from labels on request.

python manifests/ptb_xl.py RAW_DIR --out DIR --recipe ecg_byte --workers 8
"""

import argparse
import sys

from ecg_fairseq.records.datasets.ptb_xl import RATES, SPLIT_RULES, ptb_xl_dataset
from ecg_fairseq.records.datasets.ptb_xl_labels import add_label_set_option, ptb_xl_label_set
from ecg_fairseq.records.preparation.command_line import manifest_parser, run_manifest_script
from ecg_fairseq.records.preparation.questions_from_labels import label_question_maker
from ecg_fairseq.records.preparation.raw_dataset import RawDataset, no_questions


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "PTB-XL's folder (holds ptbxl_database.csv)")
    parser.add_argument("--split", choices=SPLIT_RULES, default="strat_fold", help="split rule")
    parser.add_argument("--rate", type=int, choices=RATES, default=500, help="files to read, Hz")
    parser.add_argument(
        "--questions",
        choices=("none", "from-labels"),
        default="none",
        help="build template questions from the labels",
    )
    add_label_set_option(parser, default="superclass")
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    wants_questions = arguments.questions == "from-labels"
    return ptb_xl_dataset(
        arguments.raw_dir,
        arguments.rate,
        arguments.split,
        arguments.fraction,
        arguments.seed,
        label_question_maker() if wants_questions else no_questions,
        ptb_xl_label_set(arguments.raw_dir, arguments.label_set),
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
