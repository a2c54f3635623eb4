"""``ecg-fairseq prepare NAME RAW_DIR --out DIR --recipe R``: a public dataset to a manifest."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ecg_fairseq.terminal import run_explained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the name; what follows it are the dataset's own options."""
    from ecg_fairseq.records.datasets.registry import DATASETS

    width = max(map(len, DATASETS))
    names = "\n".join(f"  {name:{width}}  {entry.summary}" for name, entry in DATASETS.items())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"datasets:\n{names}\n\nOptions of one: ecg-fairseq prepare NAME --help"
    parser.add_argument("name", metavar="NAME", help="a dataset of the list below")
    parser.add_argument(
        "words",
        metavar="RAW_DIR --out DIR --recipe R ...",
        nargs=argparse.REMAINDER,
        help="folder of the raw data, and options",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prepare the dataset; the last line on stdout is a JSON summary."""
    program = f"ecg-fairseq prepare {arguments.name}"
    words = ["--debug"] if arguments.debug else []
    return prepare_dataset(arguments.name, words + arguments.words, program)


def prepare_dataset(name: str, argv: Sequence[str], program: str | None = None) -> int:
    """Run one dataset's command line.

    Args:
        argv: words behind the name.
        program: how the command is called, for messages; default the running script.

    Returns:
        0 on success, 1 on a failure that is explained on stderr; bad usage exits with 2.

    Raises:
        ManifestError: there is no dataset of that name.
    """
    from ecg_fairseq.records.datasets.registry import dataset_module
    from ecg_fairseq.records.preparation.command_line import run_preparation

    return run_preparation(name, dataset_module(name), argv, program)


def run_script(path: str) -> int:
    """Run ``manifests/NAME.py`` with the words it was called with."""
    name, words = Path(path).stem, sys.argv[1:]
    return run_explained(f"{name}.py", lambda: prepare_dataset(name, words), "--debug" in words)
