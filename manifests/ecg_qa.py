"""ECG-QA -> manifest: the recordings of PTB-XL or of MIMIC-IV-ECG with ECG-QA's questions.

    python manifests/ecg_qa.py ECG_QA_DIR --ptb-xl PTB_XL_DIR --out DIR --recipe ecg_byte
    python manifests/ecg_qa.py ECG_QA_DIR --mimic-iv-ecg MIMIC_DIR --out DIR --recipe ecg_byte

ECG-QA's own mapping step is not needed: recordings are found through ptbxl_database.csv or
record_list.csv.
"""

import argparse
import sys
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.cohort import Cohort
from ecg_fairseq.records.ecg_qa import ecg_qa_cohort, ecg_qa_mimic_cohort
from ecg_fairseq.records.ecg_qa_command import add_question_options, choice_from
from ecg_fairseq.records.prepare_command import manifest_parser, run_manifest_script
from ecg_fairseq.records.ptb_xl import RATES
from ecg_fairseq.records.ptb_xl_labels import NO_LABELS, add_label_set_option, ptb_xl_label_set


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "ECG-QA's folder (holds ecgqa)")
    recordings = parser.add_mutually_exclusive_group(required=True)
    recordings.add_argument("--ptb-xl", type=Path, metavar="DIR", help="PTB-XL's folder")
    recordings.add_argument(
        "--mimic-iv-ecg", type=Path, metavar="DIR", help="MIMIC-IV-ECG's folder"
    )
    parser.add_argument(
        "--rate", type=int, choices=RATES, default=500, help="PTB-XL's files to read, Hz"
    )
    parser.add_argument(
        "--patients", type=Path, metavar="CSV", help="MIMIC-IV's hosp/patients.csv: sex and age"
    )
    add_question_options(parser)
    add_label_set_option(parser, default=NO_LABELS)
    return parser


def make_cohort(arguments: argparse.Namespace) -> Cohort:
    """Return the cohort the arguments ask for."""
    choice = choice_from(arguments)
    if arguments.mimic_iv_ecg:
        if arguments.label_set != NO_LABELS:
            raise ManifestError("--label-set names PTB-XL's labels; give --label-table for MIMIC")
        return ecg_qa_mimic_cohort(
            arguments.raw_dir, arguments.mimic_iv_ecg, choice, arguments.patients
        )
    if arguments.patients:
        raise ManifestError("--patients goes with --mimic-iv-ecg; PTB-XL has sex and age itself")
    label_set = ptb_xl_label_set(arguments.ptb_xl, arguments.label_set)
    return ecg_qa_cohort(arguments.raw_dir, arguments.ptb_xl, choice, arguments.rate, label_set)


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_cohort))
