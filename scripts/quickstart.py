"""From recordings to answered questions and a report; scripts/quickstart.sh calls this."""

import argparse
import sys
from pathlib import Path

from quickstart_stages.plan import Plan, make_plan
from quickstart_stages.results import write_results
from steps.child_process import end_on_termination
from steps.runner import CommandRunner

from ecg_fairseq.errors import EcgError


def build_parser() -> argparse.ArgumentParser:
    """Return the command line (contract.md)."""
    parser = argparse.ArgumentParser(prog="quickstart.sh", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("quickstart_out"), help="folder to write")
    parser.add_argument("--seed", type=int, default=1, help="of data, splits and training")
    parser.add_argument(
        "--smoke", action="store_true", help="the same path in under a minute, learning nothing"
    )
    parser.add_argument("--ptb-xl", type=Path, help="PTB-XL's folder instead of simulated ECGs")
    parser.add_argument("--ecg-qa", type=Path, help="ECG-QA's folder, for its training questions")
    return parser


def run(plan: Plan) -> None:
    """Run all stages and write results.json and report.html."""
    runner = CommandRunner(plan.out)
    for stage in plan.stages():
        if stage.done is not None and stage.done.exists():
            runner.pass_over(stage.name)
        else:
            runner.run(stage.name, stage.command)
    write_results(plan, runner)
    print(plan.out / "report.html")
    print(plan.out / "results.json")


def main() -> int:
    """Return 0, 1 after one sentence on what went wrong, or 130 when it was interrupted."""
    parser = build_parser()
    arguments = parser.parse_args()
    if arguments.ecg_qa and not arguments.ptb_xl:
        parser.error("--ecg-qa holds questions only: give --ptb-xl with its recordings too")
    end_on_termination()
    try:
        run(make_plan(arguments))
    except KeyboardInterrupt:
        print("quickstart: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except EcgError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
