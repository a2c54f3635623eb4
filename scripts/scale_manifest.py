"""Open a manifest of a million records and 800,000 questions: seconds and memory of each command.

usage: python scripts/scale_manifest.py --work DIR [--records 1000000] [--questions 800000]

The folder is made once. Seconds are those of a process from its start to the first training batch
(or to its end), with all imports; ECG tokens are encoded before, as they are once for a manifest.
"""

import argparse
import sys
from pathlib import Path

from scale.checks import Check
from scale.large_manifest import LargeManifest, write_large_manifest
from scale.measured import Measured, measure

from ecg_fairseq.errors import EcgError

MOST_MIB = 2048.0
FIRST_BATCH = Path(__file__).resolve().parent / "scale" / "first_batch.py"
# Name, command before the folder, most seconds.
COMMANDS = (
    ("ecg_qa", (str(FIRST_BATCH), "ecg_qa"), 10.0),
    ("ecg_pretraining", (str(FIRST_BATCH), "ecg_pretraining"), 10.0),
    ("inspect", ("-m", "ecg_fairseq.cli.main", "inspect"), 30.0),
)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the manifest")
    parser.add_argument("--records", type=int, default=1_000_000, help="(default 1000000)")
    parser.add_argument("--questions", type=int, default=800_000, help="(default 800000)")
    parser.add_argument("--seed", type=int, default=1, help="of signals, findings and questions")
    return parser


def check(name: str, found: Measured, most_seconds: float) -> Check:
    """Judge one command."""
    text = (
        f"{found.seconds:.1f} s of at most {most_seconds:g} ({found.cpu_seconds:.1f} s of CPU), "
        f"peak {found.peak_mib:.0f} MiB of at most {MOST_MIB:.0f}"
    )
    return Check(name, text, found.seconds <= most_seconds and found.peak_mib <= MOST_MIB)


def main(argv: list[str] | None = None) -> int:
    """Return 0 when every command keeps to its seconds and memory, 1 otherwise."""
    arguments = build_parser().parse_args(argv)
    folder = arguments.work.resolve() / "manifest"
    try:
        if not (folder / "meta.json").is_file():
            size = LargeManifest(arguments.records, arguments.questions, arguments.seed)
            write_large_manifest(folder, size)
            measure([sys.executable, *COMMANDS[0][1], str(folder)])
        checks = [
            check(name, measure([sys.executable, *command, str(folder)]), most_seconds)
            for name, command, most_seconds in COMMANDS
        ]
    except EcgError as error:
        print(f"scale_manifest: {error}", file=sys.stderr)
        return 1
    print(*(found.line() for found in checks), sep="\n")
    return 0 if all(found.is_met for found in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
