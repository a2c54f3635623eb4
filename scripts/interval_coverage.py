"""How often the 95 % intervals of AUROC hold the truth, in simulated results.

Scores of either value are normal with equal width, or ``--scores skewed``: exponential, where a few
positives stand among the negatives. A patient's recordings share half of their spread. One result
has a label for each number of positive patients, all with the same true AUROC, and their macro.

    python scripts/interval_coverage.py --results 1000 --patients 400
"""

import argparse
from collections.abc import Iterator

import numpy as np
from scipy.special import ndtr, ndtri

from ecg_fairseq.evaluation.labels.auroc_bootstrap import LabelProblem
from ecg_fairseq.evaluation.labels.auroc_intervals import LabelInfluences, auroc_intervals

AUROCS = (0.7, 0.8, 0.9, 0.96, 0.99)
POSITIVES = (3, 5, 10, 20, 50)
SHARED = 0.5
# Recordings of a patient, and how many of a positive patient's are positive.
DESIGNS = ((1, 1), (3, 3), (3, 1))


def problem_of(
    auroc: float, num_patients: int, design: tuple[int, int], is_skewed: bool, seed: int
) -> LabelProblem:
    """Return one simulated result, with a label for each of ``POSITIVES``."""
    generator = np.random.default_rng(seed)
    records, positive_records = design
    shape = num_patients, records, len(POSITIVES)
    own = generator.standard_normal((num_patients, 1, len(POSITIVES)))
    scores = SHARED**0.5 * own + (1 - SHARED) ** 0.5 * generator.standard_normal(shape)
    labels = np.zeros(shape)
    for k, positives in enumerate(POSITIVES):
        chosen = generator.permutation(num_patients)[:positives]
        labels[chosen, :positive_records, k] = 1
    if is_skewed:
        scores = -np.log(ndtr(-scores)) * np.where(labels, auroc / (1 - auroc), 1.0)
    else:
        scores += 2**0.5 * ndtri(auroc) * labels
    flat = num_patients * records, len(POSITIVES)
    patients = np.repeat(np.arange(num_patients), records)
    return LabelProblem(scores.reshape(1, *flat), labels.reshape(flat), patients)


def coverage(
    auroc: float, num_patients: int, design: tuple[int, int], is_skewed: bool, num_results: int
) -> np.ndarray:
    """Return the share of intervals that hold the truth: of each label, then of macro."""
    held = np.zeros(len(POSITIVES) + 1)
    for seed in range(num_results):
        problem = problem_of(auroc, num_patients, design, is_skewed, seed)
        values = problem.auroc_auprc(np.ones((num_patients, 1))).mean(axis=0)[:, 0, 0]
        bounds = auroc_intervals(LabelInfluences.of(problem), values, 0.95, is_difference=False)
        held += [low <= auroc <= high for low, high in zip(*bounds, strict=True)][:-1]
    return held / num_results


def lines(num_results: int, num_patients: int, is_skewed: bool) -> Iterator[str]:
    """Yield the table."""
    heads = [f"{count} positive" for count in POSITIVES]
    yield f"| AUROC | recordings (positive) | {' | '.join(heads)} | macro |"
    yield "|---|---|" + "---|" * (len(POSITIVES) + 1)
    for auroc in AUROCS:
        for design in DESIGNS:
            shares = coverage(auroc, num_patients, design, is_skewed, num_results)
            cells = " | ".join(f"{share:.3f}" for share in shares)
            yield f"| {auroc} | {design[0]} ({design[1]}) | {cells} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="coverage of the intervals of AUROC")
    parser.add_argument("--results", type=int, default=1000, help="simulated results a line")
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--scores", choices=("normal", "skewed"), default="normal")
    given = parser.parse_args()
    for line in lines(given.results, given.patients, given.scores == "skewed"):
        print(line, flush=True)
