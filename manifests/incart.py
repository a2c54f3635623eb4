"""St Petersburg INCART database (30-minute records at 257 Hz) -> manifest.

    python manifests/incart.py RAW_DIR --out DIR --recipe ecg_fm

In the database's own layout (I01.hea) patients are known and labels are the findings of the
comments. The challenge's copy (training/st_petersburg_incart) has SNOMED CT codes (--label-set) and
no patient ids.
"""

import argparse
import sys

from ecg_fairseq.records.datasets.incart import incart_dataset, is_incart
from ecg_fairseq.records.datasets.physionet_2021_options import (
    challenge_parser,
    dataset_of_either_layout,
)
from ecg_fairseq.records.preparation.command_line import run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    return challenge_parser(__doc__, "the database's own folder, or the challenge's training/")


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return dataset_of_either_layout(
        arguments, "incart", "st_petersburg_incart", is_incart, incart_dataset
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
