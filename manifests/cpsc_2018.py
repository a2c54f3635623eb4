"""CPSC 2018 as the challenge has it (6,877 records of 6 to 60 s) -> manifest.

    python manifests/cpsc_2018.py RAW_DIR --out DIR --recipe ecg_fm

Labels are SNOMED CT codes; the default label set is CPSC's own nine classes, and
--label-set challenge_2021 gives the 26 of the challenge.
"""

import argparse
import sys

from ecg_fairseq.records.cohort import Cohort
from ecg_fairseq.records.physionet_2021 import challenge_cohort
from ecg_fairseq.records.physionet_2021_command import challenge_parser, choice_from
from ecg_fairseq.records.prepare_command import run_manifest_script


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    return challenge_parser(
        __doc__, "the challenge's training/, or the source's own folder", "cpsc_2018"
    )


def make_cohort(arguments: argparse.Namespace) -> Cohort:
    """Return the cohort the arguments ask for."""
    return challenge_cohort(arguments.raw_dir, choice_from(arguments, "cpsc_2018", ("cpsc_2018",)))


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_cohort))
