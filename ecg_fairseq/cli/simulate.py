"""``ecg-fairseq simulate``: a cohort of simulated patients in a published dataset's layout."""

import argparse
import json
import os
import sys
import time
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    parser.add_argument(
        "--patients", required=True, type=int, help="number of patients (1 to 3 ECGs each)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything random (default 1)")
    parser.add_argument(
        "--fs", type=int, default=500, help="rate of records500 in Hz (default 500)"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)"
    )
    parser.add_argument(
        "--layout",
        default="ptb_xl",
        help="dataset whose files to write (default ptb_xl, with ECG-QA's questions); "
        "an unknown name lists them all",
    )
    parser.add_argument(
        "--difficulty",
        default="standard",
        help="standard (default: gaps between findings) or hard: findings overlap at their borders "
        "(rates, intervals, amplitudes), as in life",
    )
    parser.add_argument(
        "--reports",
        default="english",
        help="wording of PTB-XL's reports: english (default) or german, several wordings a "
        "finding; mixed, as in PTB-XL; plain, one wording",
    )
    parser.add_argument(
        "--question-types",
        default="all",
        help="comma-separated ECG-QA types, `single` (the three single-* types) or `all` (default)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the cohort; the last line on stdout is JSON."""
    from ecg_fairseq.files import remove_incomplete
    from ecg_fairseq.folder_lock import locked_folder
    from ecg_fairseq.records.questions.from_labels import QUESTION_TYPES, SINGLE_TYPES
    from ecg_fairseq.records.simulated.cohort import CohortSettings
    from ecg_fairseq.records.simulated.layouts import layout_writer

    start = time.monotonic()
    named = {"all": QUESTION_TYPES, "single": SINGLE_TYPES}
    types = named.get(arguments.question_types) or tuple(arguments.question_types.split(","))
    settings = CohortSettings(
        arguments.patients,
        arguments.seed,
        arguments.fs,
        types,
        arguments.difficulty,
        arguments.reports,
    )
    write_layout = layout_writer(arguments.layout)
    settings.validate()
    with locked_folder(arguments.out, "simulate"):
        result = write_layout(arguments.out, settings, arguments.workers)
        for folder, _, _ in os.walk(arguments.out):
            remove_incomplete(folder)
    if without := [name for name, count in result.get("questions", {}).items() if not count]:
        print(
            f"simulate: no questions on {', '.join(without)}, which training and scores need: "
            f"{arguments.patients} patients are too few; give --patients 40 or more",
            file=sys.stderr,
        )
    result["seconds"] = round(time.monotonic() - start, 2)
    print(json.dumps(result))
    return 0
