"""``ecg-fairseq merge SHARD_DIR... --out DIR``: parts of a preparation to one manifest."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "parts",
        nargs="+",
        type=Path,
        metavar="SHARD_DIR",
        help="folders that `ecg-fairseq prepare` wrote with --shard i/n; together all of them",
    )
    parser.add_argument("--out", type=Path, required=True, help="manifest folder to write")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")


def run(arguments: argparse.Namespace) -> int:
    """Merge, and print the summary as one JSON line."""
    from ecg_fairseq.records.datasets.registry import dataset_module
    from ecg_fairseq.records.preparation.merge import merge
    from ecg_fairseq.records.preparation.prepare import summary_line

    print(summary_line(merge(arguments.parts, arguments.out, dataset_module, arguments.workers)))
    return 0
