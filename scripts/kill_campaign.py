"""Kills commands at random moments and compares what they end with; nothing may be lost.

usage: python scripts/kill_campaign.py OUT [--kills 25] [--minutes 10] [--seed 1]
           [--only training,merge,preparations,quickstart]

SIGKILL, to the whole process group, at moments drawn over the length of an uninterrupted run of:
training with a checkpoint saved and copied at every update; the quickstart's stages; a merge; two
preparations at once in one folder. After at most four kills a run goes on to its end, which must
equal the uninterrupted one: the same bytes of every file of a manifest, the same weights and
optimizer states in the same checkpoints, the same answers and scores of a quickstart. Everything is
simulated and small. Prints a line for each scenario; exit 1 when something was lost.
"""

import argparse
import random
import sys
import time
from pathlib import Path

NAMES = ("preparations", "merge", "training", "quickstart")


def main(argv: list[str] | None = None) -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for all runs; faulty ones are kept in it")
    parser.add_argument("--kills", type=int, default=25, help="of each scenario (default 25)")
    parser.add_argument("--minutes", type=float, default=10, help="for all (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--only", default=",".join(NAMES), help="scenarios (default all)")
    arguments = parser.parse_args(argv)
    names = arguments.only.split(",")
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown scenarios {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")

    from kill_scenarios.campaign import interrupt
    from kill_scenarios.scenarios import scenarios

    out = arguments.out.resolve()
    found = scenarios(out / "inputs")
    draws = random.Random(arguments.seed)
    deadline = time.monotonic() + 60 * arguments.minutes
    kills, faults = 0, []
    for name in names:
        outcome = interrupt(found[name], out / name, arguments.kills, draws, deadline)
        kills, faults = kills + outcome.kills, faults + outcome.faults
        print(f"{name}: {outcome.kills} kills, {outcome.runs} runs, {len(outcome.faults)} faults",
              flush=True)  # fmt: skip
        for fault in outcome.faults:
            print(f"FAIL {fault}", flush=True)
    print(f"{kills} kills, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
