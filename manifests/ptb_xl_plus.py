"""PTB-XL+ -> manifest: the median beats of PTB-XL's recordings, with its labels, folds and reports.

    python manifests/ptb_xl_plus.py PTB_XL_PLUS_DIR --ptb-xl PTB_XL_DIR --out DIR \\
        --recipe dual_attention

Measured features go into the labels: those of the whole heart, or with --features all every lead's.
"""

import argparse
import sys
from pathlib import Path

from ecg_fairseq.records.datasets.ptb_xl import SPLIT_RULES
from ecg_fairseq.records.datasets.ptb_xl_labels import add_label_set_option, ptb_xl_label_set
from ecg_fairseq.records.datasets.ptb_xl_plus import (
    FEATURE_CHOICES,
    FEATURE_TABLES,
    MAKERS,
    UNITS,
    PtbXlPlusChoice,
    ptb_xl_plus_dataset,
)
from ecg_fairseq.records.preparation.command_line import manifest_parser, run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "PTB-XL+'s folder (holds median_beats and features)")
    parser.add_argument("--ptb-xl", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--split", choices=SPLIT_RULES, default="strat_fold", help="split rule")
    parser.add_argument("--beats", choices=MAKERS, default="12sl", help="whose median beats")
    parser.add_argument(
        "--unit",
        choices=tuple(UNITS),
        default="auto",
        help="of the stored beats (default: by height)",
    )
    parser.add_argument("--features", choices=FEATURE_CHOICES, default="global", help="as labels")
    parser.add_argument(
        "--feature-table", choices=FEATURE_TABLES, default="", help="default: as --beats"
    )
    add_label_set_option(parser, default="superclass")
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    choice = PtbXlPlusChoice(
        arguments.beats,
        arguments.unit,
        arguments.features,
        arguments.feature_table,
        arguments.split,
        arguments.fraction,
        arguments.seed,
    )
    label_set = ptb_xl_label_set(arguments.ptb_xl, arguments.label_set)
    return ptb_xl_plus_dataset(arguments.raw_dir, arguments.ptb_xl, choice, label_set)


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
