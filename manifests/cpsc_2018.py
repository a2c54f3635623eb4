"""CPSC 2018 as the challenge has it (6,877 records of 6 to 60 s) -> manifest.

    python manifests/cpsc_2018.py RAW_DIR --out DIR --recipe ecg_fm

Labels are SNOMED CT codes; the default label set is CPSC's own nine classes, and
--label-set challenge_2021 gives the 26 of the challenge.
"""

import argparse
import sys

from ecg_fairseq.records.datasets.physionet_2021 import challenge_dataset
from ecg_fairseq.records.datasets.physionet_2021_options import challenge_parser, choice_from
from ecg_fairseq.records.preparation.command_line import run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    return challenge_parser(
        __doc__, "the challenge's training/, or the source's own folder", "cpsc_2018"
    )


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return challenge_dataset(arguments.raw_dir, choice_from(arguments, "cpsc_2018", ("cpsc_2018",)))


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
