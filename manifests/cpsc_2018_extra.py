"""The 3,453 records that CPSC 2018 did not publish -> manifest; labels are SNOMED CT codes.

python manifests/cpsc_2018_extra.py RAW_DIR --out DIR --recipe ecg_fm
"""

import argparse
import sys

from ecg_fairseq.records.cohort import Cohort
from ecg_fairseq.records.physionet_2021 import challenge_cohort
from ecg_fairseq.records.physionet_2021_command import challenge_parser, choice_from
from ecg_fairseq.records.prepare_command import run_manifest_script


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    return challenge_parser(__doc__, "the challenge's training/, or the source's own folder")


def make_cohort(arguments: argparse.Namespace) -> Cohort:
    """Return the cohort the arguments ask for."""
    return challenge_cohort(
        arguments.raw_dir, choice_from(arguments, "cpsc_2018_extra", ("cpsc_2018_extra",))
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_cohort))
