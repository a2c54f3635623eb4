"""PTB Diagnostic ECG Database -> manifest.

    python manifests/ptb.py RAW_DIR --out DIR --recipe ecg_fm

In the database's own layout (patient001/s0010_re.hea) patients are known and labels are reasons for
admission. The challenge's copy (training/ptb) has SNOMED CT codes (--label-set) and no patient ids.
"""

import argparse
import sys

from ecg_fairseq.records.datasets.physionet_2021_options import (
    challenge_parser,
    dataset_of_either_layout,
)
from ecg_fairseq.records.datasets.ptb import is_ptb_diagnostic, ptb_diagnostic_dataset
from ecg_fairseq.records.preparation.command_line import run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    return challenge_parser(__doc__, "the database's own folder, or the challenge's training/")


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return dataset_of_either_layout(
        arguments, "ptb", "ptb", is_ptb_diagnostic, ptb_diagnostic_dataset
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
