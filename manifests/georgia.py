"""Georgia 12-lead ECG challenge database (10,344 records) -> manifest; SNOMED CT labels.

python manifests/georgia.py RAW_DIR --out DIR --recipe ecg_fm
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
    return challenge_cohort(arguments.raw_dir, choice_from(arguments, "georgia", ("georgia",)))


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_cohort))
