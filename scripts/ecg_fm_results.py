"""ECG-FM's results table: pretraining, finetuning, linear probes, identification, saliency.

usage: python scripts/ecg_fm_results.py --out DIR [--patients N] [--seed S] [--ptb-xl DIR] [--small]

Runs the commands that a user would type, with the shipped ``*_tiny`` settings, and writes table.md,
results.json and curves.png. Run it again with the same arguments to go on after an interruption;
steps whose settings or inputs changed are done anew.
"""

import argparse
import os
import sys
from pathlib import Path

from ecg_fm_stages.plan import Plan, make_plan
from ecg_fm_stages.results import write_results
from steps.graph import StepGraph

from ecg_fairseq.errors import EcgError


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--patients", type=int, help="of the simulated cohort (default 1500)")
    parser.add_argument("--seed", type=int, default=1, help="of data, draws and training")
    parser.add_argument("--ptb-xl", type=Path, help="PTB-XL's folder instead of simulated ECGs")
    parser.add_argument(
        "--label-set", help="of PTB-XL (default: all when simulated, superclass of real recordings)"
    )
    parser.add_argument(
        "--pretrained",
        type=Path,
        metavar="CKPT",
        help="also probe and finetune this encoder, which was pretrained on other people",
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="steps side by side (default 2, at most the cores)"
    )
    parser.add_argument(
        "--small", action="store_true", help="the same path in a minute or two, learning nothing"
    )
    return parser


def run(plan: Plan, jobs: int) -> None:
    """Run all steps and write the results."""
    cores = len(os.sched_getaffinity(0))
    jobs = max(1, min(jobs, cores))
    os.environ["OMP_NUM_THREADS"] = str(max(1, cores // jobs))
    graph = StepGraph(plan.out, jobs)
    graph.run(plan.steps())
    for path in write_results(plan, graph):
        print(path)


def main(argv: list[str] | None = None) -> int:
    """Return 0, or 1 after one sentence on what went wrong."""
    arguments = build_parser().parse_args(argv)
    try:
        run(make_plan(arguments), arguments.jobs)
    except EcgError as error:
        print(f"ecg_fm_results: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
