"""HeartLLM's question and report files -> manifest: the recordings of PTB-XL or MIMIC-IV-ECG.

    python manifests/heartllm.py HEARTLLM_DIR --ptb-xl PTB_XL_DIR --out DIR --recipe heartllm

A question of type report has the report as its answer. The background stands in a record's labels.
"""

import argparse
import sys

from ecg_fairseq.records.datasets.heartllm import (
    SPLIT_RULES,
    TASKS,
    HeartLlmChoice,
    heartllm_dataset,
    heartllm_mimic_dataset,
)
from ecg_fairseq.records.datasets.recordings_options import (
    add_recordings_options,
    recordings_dataset,
)
from ecg_fairseq.records.preparation.command_line import manifest_parser, run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "HeartLLM's folder (holds dataset/ecgqa and dataset/report)")
    add_recordings_options(parser)
    parser.add_argument("--task", choices=TASKS, default="both", help="which files (default both)")
    parser.add_argument(
        "--split",
        choices=SPLIT_RULES,
        default="heartllm",
        help="whose sides count; ptb-xl keeps only questions whose ECGs are on their own side",
    )
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    folder = arguments.raw_dir
    choice = HeartLlmChoice(arguments.task, arguments.split, arguments.fraction, arguments.seed)
    return recordings_dataset(
        arguments,
        lambda ptb_xl, rate, labels: heartllm_dataset(folder, ptb_xl, choice, rate, labels),
        lambda mimic, patients: heartllm_mimic_dataset(folder, mimic, choice, patients),
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
