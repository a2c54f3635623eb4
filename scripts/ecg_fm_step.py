"""One step of scripts/ecg_fm_results.py that no command of ecg_fairseq does.

usage: python scripts/ecg_fm_step.py STEP ARGUMENTS; `STEP --help` explains them.
"""

import argparse
import importlib
import sys

from ecg_fairseq.errors import EcgError

# Step -> module of ecg_fm_stages, with ``add_arguments(parser)`` and ``run(arguments)``.
STEPS = {
    "draw-labels": "draw_labels",
    "people": "patients",
    "predict": "predict_labels",
    "probe": "probe_labels",
    "identify": "identify",
}


def main(argv: list[str]) -> int:
    """Run the step; 1 after one sentence on what went wrong, 2 when there is no such step."""
    name = argv[0] if argv else ""
    if name not in STEPS:
        print(f"{__doc__}\nsteps: {', '.join(STEPS)}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"ecg_fm_stages.{STEPS[name]}")
    parser = argparse.ArgumentParser(prog=f"ecg_fm_step.py {name}", description=module.__doc__)
    module.add_arguments(parser)
    try:
        module.run(parser.parse_args(argv[1:]))
    except EcgError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
