"""Blind floors of a model that reads every ECG perfectly, in designs of known truth.

The truth is how often an ECG drawn from the whole template has the question's own answer. ``raw``
shows another patient's ECG; ``corrected`` is what ``ecg-fairseq score`` gives as blind_corrected.

    python scripts/blind_floor.py --results 300
"""

import argparse
from collections.abc import Callable

import numpy as np

from ecg_fairseq.evaluation.answers.blind import blind_partners, shares_with_own_patients
from ecg_fairseq.records.questions.question import Question

Rows = list[tuple[int, int, str]]  # template, patient, answer


def paired(generator: np.random.Generator) -> Rows:
    """Every patient before (no) and after (yes), in that order."""
    return [(0, patient, answer) for patient in range(100) for answer in ("no", "yes")]


def matched(generator: np.random.Generator) -> Rows:
    """Patients in blocks of two with one answer, one question each."""
    return [(0, patient, "yes" if patient // 2 % 2 else "no") for patient in range(200)]


def small_balanced(generator: np.random.Generator) -> Rows:
    """A hundred templates of three times yes and three times no, patients shared by templates."""
    rows = []
    for template in range(100):
        patients = generator.permutation(200)[:6]
        rows += [(template, int(p), "yes" if i % 2 else "no") for i, p in enumerate(patients)]
    return rows


def repeated(generator: np.random.Generator) -> Rows:
    """Twenty patients, five questions each with one answer a patient, half of them yes."""
    return [(0, p, "yes" if p % 2 else "no") for p in range(20) for _ in range(5)]


DESIGNS: dict[str, Callable[[np.random.Generator], Rows]] = {
    "paired visits": paired,
    "matched patients": matched,
    "small balanced templates": small_balanced,
    "repeated questions": repeated,
}


def floors_of(rows: Rows, seed: int) -> tuple[float, float]:
    """Return the raw and the corrected floor of one run."""
    questions = [
        Question(f"q{i}", "?", [answer], "single-verify", [f"r{i}"], [f"p{patient}"], template)
        for i, (template, patient, answer) in enumerate(rows)
    ]
    partners = blind_partners(questions, seed)
    hits = np.array(
        [
            np.nan if partner is None else questions[partner].answer == question.answer
            for question, partner in zip(questions, partners, strict=True)
        ]
    )
    own = shares_with_own_patients(questions)
    return float(np.nanmean(hits)), float(np.nanmean((1 - own) * hits + own))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="blind floors of a perfect reader")
    parser.add_argument("--results", type=int, default=300, help="simulated results a design")
    given = parser.parse_args()
    print("| design | truth | raw | corrected |\n|---|---|---|---|")
    for name, design in DESIGNS.items():
        found = [
            floors_of(design(np.random.default_rng(seed)), seed) for seed in range(given.results)
        ]
        (raw, corrected), (low, _) = np.mean(found, axis=0), np.min(found, axis=0)
        high = np.max(found, axis=0)[0]
        print(f"| {name} | 0.5 | {raw:.3f} ({low:.3f} to {high:.3f}) | {corrected:.3f} |")
