"""Compare our code with a reference system's recorded tensors.

usage: python scripts/parity.py SYSTEM CASE_DIR...

Prints one line per tensor, `name max_abs_err tolerance ok` or `... FAIL`, and last `N ok, M FAIL`.
Exit status: 0 all equal, 1 a tensor differs, 2 the comparison could not run.
"""

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from parity_systems import SYSTEMS
from parity_systems.check import Check


def run_checks(system: str, case_dir: Path) -> Iterator[Check]:
    """Yield the checks of every module of ``system`` on one folder.

    Raises:
        FileNotFoundError: the folder does not exist, or holds no case that a module knows.
    """
    if not case_dir.is_dir():
        raise FileNotFoundError(f"no such folder: {case_dir}")
    found = False
    for name in SYSTEMS[system]:
        for check in importlib.import_module(f"parity_systems.{name}").checks(case_dir):
            found = True
            yield check
    if not found:
        raise FileNotFoundError(f"{case_dir} holds no case of {system}; give its golden folder")


def main(argv: list[str] | None = None) -> int:
    """Run the comparison; see the module for the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=sorted(SYSTEMS), metavar="SYSTEM", help="%(choices)s")
    parser.add_argument("case_dirs", nargs="+", type=Path, metavar="CASE_DIR")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    arguments = parser.parse_args(argv)
    if not SYSTEMS[arguments.system]:
        print(f"parity: {arguments.system} is not implemented in this version", file=sys.stderr)
        return 2
    num_ok = num_failed = num_errors = 0
    for case_dir in arguments.case_dirs:
        try:
            for check in run_checks(arguments.system, case_dir):
                print(check.line(), flush=True)
                num_ok += check.ok
                num_failed += not check.ok
        except Exception as error:
            if arguments.debug:
                raise
            print(f"parity: {case_dir}: {type(error).__name__}: {error}", file=sys.stderr)
            num_errors += 1
    print(f"{num_ok} ok, {num_failed} FAIL")
    if num_failed:
        return 1
    return 2 if num_errors else 0


if __name__ == "__main__":
    sys.exit(main())
