"""Time one stage of ours against each installed peer, in one run with interleaved repeats.

usage: python scripts/bench.py STAGE [--json] [options of the stage]
"""

import argparse
import importlib
import json
import sys
from typing import Any

from benchmarks import STAGES


def format_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return aligned lines for rows that share their keys."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns] + [[format_value(row.get(column)) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def format_value(value: Any) -> str:
    """Return a number with four digits, anything else as JSON without quotes."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def print_report(result: dict[str, Any]) -> None:
    """Print scalars as ``key: value`` and lists of objects as tables; raw lists stay in --json."""
    for key, value in result.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            print(f"{key}:", *format_table(value), sep="\n  ")
        elif isinstance(value, dict) and key.startswith("all_"):
            continue
        elif isinstance(value, dict) and any(isinstance(v, list | dict) for v in value.values()):
            print(f"[{key}]")
            print_report(value)
        elif isinstance(value, dict):
            print(f"{key}:", ", ".join(f"{k} {format_value(v)}" for k, v in value.items()))
        else:
            print(f"{key}: {format_value(value)}")


def main(argv: list[str] | None = None) -> int:
    """Run the stage named on the command line; 1 on a failure of the stage, 2 on bad usage."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    module = None
    for stage in STAGES:
        subparser = stages.add_parser(stage)
        subparser.add_argument("--json", action="store_true", help="print one JSON object")
        if stage in argv:
            try:
                module = importlib.import_module(f"benchmarks.{stage.replace('-', '_')}")
            except ModuleNotFoundError as error:
                print(f"bench: {stage} cannot run here: {error}", file=sys.stderr)
                return 1
            module.add_arguments(subparser)
    arguments = parser.parse_args(argv)
    result = module.run(arguments)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print_report(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
