"""``ecg-fairseq label``: labels from written reports, by rules."""

import argparse
import json
import re
import sys
import time
from collections import Counter
from pathlib import Path

_WORDS = re.compile(r"\w[\w' -]*")
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a text a line, or .csv or .tsv")
    parser.add_argument("--out", type=Path, required=True, metavar="X.jsonl", help="file to write")
    parser.add_argument("--column", help="column of a .csv or .tsv that holds the texts")
    parser.add_argument(
        "--tables",
        type=Path,
        metavar="DIR",
        help="tables in ECG-FM's layout (default: the package's own, for PTB-XL and MIMIC)",
    )
    parser.add_argument(
        "--mode",
        default="corrected",
        help="corrected (default), or reference: with two faults of the published labeler",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write a line for each text; the last line on stdout is JSON."""
    from ecg_fairseq.errors import LabelerError
    from ecg_fairseq.files import atomic_write
    from ecg_fairseq.records.reports.labeler import open_labeler
    from ecg_fairseq.records.reports.text_files import read_texts

    if arguments.out.resolve() == arguments.file.resolve():
        raise LabelerError(f"--out {arguments.out} is the file of the texts; choose another one")
    texts = read_texts(arguments.file, arguments.column)
    labeler = open_labeler(arguments.tables, arguments.mode)
    started = time.monotonic()
    unmatched: Counter[str] = Counter()
    num_unlabelled = 0
    with atomic_write(arguments.out) as stream:
        for text in texts:
            labels = labeler.label(text)
            line = {
                "text": text,
                "labels": labels.probabilities,
                "unmatched": labels.unmatched,
                "sources": labels.sources,
                "normalized": labels.normalized,
            }
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            unmatched.update(part.strip() for part in _WORDS.findall(labels.unmatched))
            num_unlabelled += not labels.probabilities
    seconds = time.monotonic() - started
    for words, count in unmatched.most_common(_SHOWN):
        print(f"unmatched, {count} times: {words}", file=sys.stderr)
    summary = {
        "texts": len(texts),
        "without_label": num_unlabelled,
        "unmatched_kinds": len(unmatched),
        "seconds": round(seconds, 3),
        "out": str(arguments.out),
    }
    print(json.dumps(summary))
    return 0
