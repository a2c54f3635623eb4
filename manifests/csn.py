"""CSN, Chapman-Shaoxing and Ningbo (45,152 records) -> manifest; labels are SNOMED CT codes.

    python manifests/csn.py RAW_DIR --out DIR --recipe ecg_fm

RAW_DIR may also be PhysioNet's ecg-arrhythmia (WFDBRecords/), where a record's number tells which
hospital it is from.
"""

import argparse
import sys

from ecg_fairseq.records.datasets.physionet_2021 import CSN, challenge_dataset
from ecg_fairseq.records.datasets.physionet_2021_options import challenge_parser, choice_from
from ecg_fairseq.records.preparation.command_line import run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    return challenge_parser(__doc__, "the challenge's training/, or ecg-arrhythmia's folder")


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return challenge_dataset(arguments.raw_dir, choice_from(arguments, "csn", CSN))


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
