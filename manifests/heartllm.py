"""HeartLLM's question and report files -> manifest: PTB-XL's recordings with their questions.

    python manifests/heartllm.py HEARTLLM_DIR --ptb-xl PTB_XL_DIR --out DIR --recipe heartllm

A question of type report has the report as its answer. The background stands in a record's labels.
"""

import argparse
import sys
from pathlib import Path

from ecg_fairseq.records.cohort import Cohort
from ecg_fairseq.records.heartllm import SPLIT_RULES, TASKS, HeartLlmChoice, heartllm_cohort
from ecg_fairseq.records.prepare_command import manifest_parser, run_manifest_script
from ecg_fairseq.records.ptb_xl import RATES
from ecg_fairseq.records.ptb_xl_labels import LABEL_SET_CHOICES, NO_LABELS, ptb_xl_label_set


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "HeartLLM's folder (holds dataset/ecgqa and dataset/report)")
    parser.add_argument("--ptb-xl", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--rate", type=int, choices=RATES, default=500, help="files to read, Hz")
    parser.add_argument("--task", choices=TASKS, default="both", help="which files (default both)")
    parser.add_argument(
        "--split",
        choices=SPLIT_RULES,
        default="heartllm",
        help="whose sides count; ptb-xl keeps only questions whose ECGs are on their own side",
    )
    parser.add_argument(
        "--label-set",
        choices=LABEL_SET_CHOICES,
        default=NO_LABELS,
        help="PTB-XL labels for labels/y.npy (default none)",
    )
    return parser


def make_cohort(arguments: argparse.Namespace) -> Cohort:
    """Return the cohort the arguments ask for."""
    choice = HeartLlmChoice(arguments.task, arguments.split, arguments.fraction, arguments.seed)
    label_set = ptb_xl_label_set(arguments.ptb_xl, arguments.label_set)
    return heartllm_cohort(arguments.raw_dir, arguments.ptb_xl, choice, arguments.rate, label_set)


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_cohort))
