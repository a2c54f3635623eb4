"""Measure whether a finetuned classifier's saliency points at ST elevation that was planted.

usage: python scripts/saliency_truth.py CHECKPOINT [--label AMI] [--records 200] [--json]

Simulates recordings with anterior ST elevation (V1 to V4) and prints the share of positive gradient
x input there, beside chance and the same network with random weights.
"""

import argparse
import json
import sys

from planted_saliency.measure import (
    FIGURES,
    METHODS,
    measure,
    summary,
)

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.trained_encoder import random_network
from ecg_fairseq.networks.trained import load_trained_encoder

# What the figures are, in words; the simulated cohort's code for the finding is AMI.
WORDS = {
    "lead_share": "positive mass in V1-V4",
    "st_share": "positive mass in ST segments",
    "peak_in_st": "peaks in an ST segment",
    "peak_in_planted_lead": "peaks in V1-V4",
}


def main(argv: list[str] | None = None) -> int:
    """Measure and print; 1 when the checkpoint cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--label", default="AMI", help="of the finding; default: %(default)s")
    parser.add_argument("--labels", metavar="LABEL_DEF.CSV", help="names of the labels")
    parser.add_argument("--records", type=int, default=200, help="simulated patients")
    parser.add_argument("--seed", type=int, default=1000, help="of the simulated patients")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    parser.add_argument("--smooth-ms", type=float, default=0.0, help="moving mean of maps first")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    try:
        system = load_trained_encoder(arguments.checkpoint)
        system = system.named(arguments.labels) if arguments.labels else system
        label = system.label_number(arguments.label)
        rest = (
            label,
            arguments.records,
            arguments.seed,
            arguments.method,
            arguments.smooth_ms / 1000,
        )
        random = random_network(system, 1)
        num_leads = system.signals.num_rows
        trained, floor = (summary(measure(one, *rest), num_leads) for one in (system, random))
    except EcgError as error:
        print(f"saliency_truth: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({"label": system.labels[label], "trained": trained, "random": floor}))
        return 0
    print(
        f"{trained['patients']} simulated patients, {trained['segments']} segments, "
        f"{trained['detected_segments']} detected as {system.labels[label]}; of the planted "
        f"elevation itself (z-scored) {_cell(trained['evidence_share'])} stands in V1-V4\n"
    )
    print("| share of | all segments | detected segments | random weights | chance |")
    print("|---|---|---|---|---|")
    for name in FIGURES:
        cells = (trained["all"][name], trained["detected"][name], floor["all"][name])
        shown = " | ".join(_cell(cell) for cell in cells)
        print(f"| {WORDS[name]} | {shown} | {trained['chance'][name]:.3f} |")
    return 0


def _cell(figure: dict[str, float] | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
