"""``ecg-fairseq convert``: checkpoints and settings of other projects to ours, and back."""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    from ecg_fairseq.networks.ecg_fm.config import KEY_STYLES
    from ecg_fairseq.networks.trained import PROJECTS

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
        help="with --to fairseq-signals: how the weight norm is spelled (both can be read)",
    )
    parser.add_argument(
        "--recipe",
        help="with --from heartllm: how the signals were prepared that it was trained on (as "
        "published: heartllm_reference)",
    )
    parser.add_argument(
        "--levels",
        help="with --from heartllm: levels of the code's dimensions, one number or one each, such "
        "as 8,5,5,5 (as published: 6)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Convert, and print what happened to every key."""
    from ecg_fairseq.cli.convert_settings import SUFFIXES, convert_settings
    from ecg_fairseq.networks.trained import converter

    given = _options(arguments)
    if arguments.origin and Path(arguments.input).suffix in SUFFIXES:
        report = convert_settings(arguments.input, arguments.out)
    elif arguments.origin:
        read = converter(arguments.origin).convert_checkpoint
        report = read(arguments.input, arguments.out, arguments.allow_partial, **given)
    else:
        write = converter(arguments.target).export_checkpoint
        report = write(arguments.input, arguments.out, **given)
    print(json.dumps(report.as_dict()) if arguments.json else "\n".join(report.lines()))
    return 0


def _options(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the options that were given; EcgError for those that do nothing in this direction."""
    from ecg_fairseq.errors import EcgError
    from ecg_fairseq.networks.trained import converter

    known = getattr(converter(arguments.origin or arguments.target), "OPTIONS", {})
    direction = "from" if arguments.origin else "to"
    given = {
        name: value
        for name in ("key_style", "recipe", "levels")
        if (value := getattr(arguments, name)) is not None
    }
    if unknown := [name for name in given if name not in known.get(direction, ())]:
        project = arguments.origin or arguments.target
        raise EcgError(
            f"--{unknown[0].replace('_', '-')} does nothing with --{direction} {project}; leave it "
            "out"
        )
    return given
