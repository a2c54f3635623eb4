"""``ecg-fairseq convert``: checkpoints and settings of other projects to ours, and back."""

import argparse
import json
from pathlib import Path

from ecg_fairseq.networks.ecg_fm.config import KEY_STYLES

PROJECTS = ("fairseq-signals",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument("--from", dest="origin", choices=PROJECTS, help="project to read from")
    direction.add_argument("--to", dest="target", choices=PROJECTS, help="project to write for")
    parser.add_argument("input", metavar="IN", help="checkpoint, or settings (.yaml)")
    parser.add_argument("--out", required=True, help="new file")
    parser.add_argument(
        "--allow-partial",
        action="store_true",
        help="with --from: tensors that are missing get random values, others are left out",
    )
    parser.add_argument(
        "--key-style",
        choices=KEY_STYLES,
        default=KEY_STYLES[0],
        help="with --to: how the weight norm is spelled (both can be read)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Convert, and print what happened to every key."""
    from ecg_fairseq.cli.convert_settings import SUFFIXES, convert_settings
    from ecg_fairseq.networks.ecg_fm.convert import convert_checkpoint, export_checkpoint

    if arguments.origin and Path(arguments.input).suffix in SUFFIXES:
        report = convert_settings(arguments.input, arguments.out)
    elif arguments.origin:
        report = convert_checkpoint(arguments.input, arguments.out, arguments.allow_partial)
    else:
        report = export_checkpoint(arguments.input, arguments.out, arguments.key_style)
    print(json.dumps(report.as_dict()) if arguments.json else "\n".join(report.lines()))
    return 0
