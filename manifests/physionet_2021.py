"""PhysioNet/CinC Challenge 2021 -> manifest: eight sources, SNOMED CT labels.

    python manifests/physionet_2021.py RAW_DIR --out DIR --recipe ecg_fm --sources recommended

The challenge has no folds and no patient ids: sides are drawn, each record a patient of its own.
fairseq-signals recommends its sources without ptb and st_petersburg_incart (few patients with
several records each): --sources recommended.
"""

import argparse
import sys

from ecg_fairseq.records.datasets.physionet_2021 import (
    SOURCE_GROUPS,
    SOURCES,
    challenge_dataset,
    parse_sources,
)
from ecg_fairseq.records.datasets.physionet_2021_options import (
    add_ptb_xl_option,
    challenge_parser,
    choice_from,
)
from ecg_fairseq.records.preparation.command_line import run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = challenge_parser(__doc__, "the challenge's folder, or its training/")
    parser.add_argument(
        "--sources",
        default="all",
        help=f"comma-separated: {', '.join(SOURCES)}; or {', '.join(SOURCE_GROUPS)} (default all)",
    )
    add_ptb_xl_option(parser)
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    choice = choice_from(arguments, "physionet_2021", parse_sources(arguments.sources))
    return challenge_dataset(arguments.raw_dir, choice)


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
