"""CSN, Chapman-Shaoxing and Ningbo (45,152 records) -> manifest; labels are SNOMED CT codes.

    python manifests/csn.py RAW_DIR --out DIR --recipe ecg_fm

RAW_DIR may also be PhysioNet's ecg-arrhythmia (WFDBRecords/), where a record's number tells which
hospital it is from.
"""

import argparse
import sys

from ecg_fairseq.records.cohort import Cohort
from ecg_fairseq.records.physionet_2021 import CSN, challenge_cohort
from ecg_fairseq.records.physionet_2021_command import challenge_parser, choice_from
from ecg_fairseq.records.prepare_command import run_manifest_script


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    return challenge_parser(__doc__, "the challenge's training/, or ecg-arrhythmia's folder")


def make_cohort(arguments: argparse.Namespace) -> Cohort:
    """Return the cohort the arguments ask for."""
    return challenge_cohort(arguments.raw_dir, choice_from(arguments, "csn", CSN))


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_cohort))
