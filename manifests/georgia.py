"""Georgia 12-lead ECG challenge database (10,344 records) -> manifest; SNOMED CT labels.

python manifests/georgia.py RAW_DIR --out DIR --recipe ecg_fm
"""

import argparse
import sys

from ecg_fairseq.records.datasets.physionet_2021 import challenge_dataset
from ecg_fairseq.records.datasets.physionet_2021_options import challenge_parser, choice_from
from ecg_fairseq.records.preparation.command_line import run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    return challenge_parser(__doc__, "the challenge's training/, or the source's own folder")


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return challenge_dataset(arguments.raw_dir, choice_from(arguments, "georgia", ("georgia",)))


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
