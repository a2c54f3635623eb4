"""St Petersburg INCART database (30-minute records at 257 Hz) -> manifest.

    python manifests/incart.py RAW_DIR --out DIR --recipe ecg_fm

In the database's own layout (I01.hea) patients are known and labels are the findings of the
comments. The challenge's copy (training/st_petersburg_incart) has SNOMED CT codes (--label-set) and
no patient ids.
"""

import argparse
import sys

from ecg_fairseq.records.cohort import Cohort
from ecg_fairseq.records.incart import incart_cohort, is_incart
from ecg_fairseq.records.physionet_2021_command import challenge_parser, cohort_of_either_layout
from ecg_fairseq.records.prepare_command import run_manifest_script


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    return challenge_parser(__doc__, "the database's own folder, or the challenge's training/")


def make_cohort(arguments: argparse.Namespace) -> Cohort:
    """Return the cohort the arguments ask for."""
    return cohort_of_either_layout(
        arguments, "incart", "st_petersburg_incart", is_incart, incart_cohort
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_cohort))
