"""``ecg-fairseq user-dir``: the folder that fairseq's ``--user-dir`` wants."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This verb takes no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the package folder."""
    print(Path(__file__).resolve().parents[1])
    return 0
