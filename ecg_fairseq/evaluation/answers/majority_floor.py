"""Floors under the exact match that need no model, and the closed-set reading of answers.

The majority floor gives every question of a template that template's most frequent reference answer
ON THE SCORED SPLIT ITSELF. It is thus an oracle: no model that ignores the ECG and treats a
template's questions alike can beat it. A model that heeds the wording inside a template can: the
floor by wording gives every *wording* of a template its most frequent answer, and the blind floor,
an ordinary set of predictions scored like any other (``blind.py``), shows what a model makes of it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np
from scipy import sparse

from ecg_fairseq.evaluation.answers.exact_match import (
    answer_set,
    is_exact_match,
    normalize_text,
    options_in_text,
)
from ecg_fairseq.evaluation.answers.predictions import Prediction
from ecg_fairseq.evaluation.intervals import PatientGroups, percentiles, share_of

Interval = tuple[float, float]
# Which questions share one answer: a key for each of N questions.
Alike = Sequence[Hashable]
Key = TypeVar("Key", bound=Hashable)


def exact_match_hits(predictions: Sequence[Prediction]) -> np.ndarray:
    """Return (N,) float64: 1 where the generated answer matches the reference exactly."""
    return np.array([is_exact_match(p.answer, p.reference) for p in predictions], dtype=np.float64)


def by_template(predictions: Sequence[Prediction]) -> list[Hashable]:
    """Return what makes questions alike for the majority floor: the template."""
    return [prediction.template_id for prediction in predictions]


def by_wording(predictions: Sequence[Prediction]) -> list[Hashable]:
    """Return what makes questions alike for the floor by wording: template and text.

    Wordings that are asked once in a template are alike: the most frequent of one answer is always
    right, and says nothing.
    """
    keys = [(p.template_id, normalize_text(p.question)) for p in predictions]
    counts = Counter(keys)
    return [key if counts[key] > 1 else (key[0], None) for key in keys]


def majority_answers(predictions: Sequence[Prediction]) -> dict[int, str]:
    """Return each template's most frequent reference answer; ties go to the first in the alphabet.

    Answers are counted as sets and written back as ``"a; b"`` in sorted order.
    """
    templates = [prediction.template_id for prediction in predictions]
    found = _most_frequent(templates, _references(predictions))
    return dict(sorted(found.items()))


def majority_hits(
    predictions: Sequence[Prediction],
    alike_by: Callable[[Sequence[Prediction]], Alike] = by_template,
) -> np.ndarray:
    """Return (N,) float64: 1 where the most frequent answer of the questions alike is right."""
    alike, references = alike_by(predictions), _references(predictions)
    found = _most_frequent(alike, references)
    hits = [found[key] == answer for key, answer in zip(alike, references, strict=True)]
    return np.array(hits, dtype=np.float64)


def majority_intervals(
    predictions: Sequence[Prediction],
    alike_by: Callable[[Sequence[Prediction]], Alike],
    num_resamples: int,
    seed: int,
) -> tuple[Interval, Interval]:
    """Return intervals of a majority floor and of the exact match above it.

    The most frequent answers are found anew in every draw of the patients. Those of a draw profit
    from chance once more than the floor itself does, by most in small templates; the percentile
    intervals are therefore widened, where need be, to hold the figure. What is said of the model is
    then said with caution: the interval above the floor lies low rather than high.

    Returns:
        (low, high) of the floor, and of the difference; NaN where all questions are about the same
        patients.
    """
    groups = PatientGroups.of([prediction.patient_ids for prediction in predictions])
    if not groups.has_spread:
        return (np.nan, np.nan), (np.nan, np.nan)
    exact = exact_match_hits(predictions)
    cells, starts = _answer_cells(alike_by(predictions), _references(predictions), groups)
    hits, sizes = np.bincount(groups.rows, weights=exact), np.bincount(groups.rows)
    floors, gains = [], []
    for weights in groups.weights(num_resamples, seed):
        total = weights @ sizes
        most = np.maximum.reduceat(cells @ weights.T, starts, axis=0).sum(axis=0)
        floors.append(share_of(most, total))
        gains.append(share_of(weights @ hits, total) - floors[-1])
    floor = float(majority_hits(predictions, alike_by).mean())
    return (
        _holding(floor, percentiles(np.concatenate(floors))),
        _holding(float(exact.mean()) - floor, percentiles(np.concatenate(gains))),
    )


def _answer_cells(
    alike: Alike, references: Sequence[str], groups: PatientGroups
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Count questions by (questions alike, answer) and group of patients.

    Returns:
        Counts (C, G), cells of questions alike adjoining; the first cell of each.
    """
    numbers = {key: number for number, key in enumerate(dict.fromkeys(alike))}
    pairs = [(numbers[key], answer) for key, answer in zip(alike, references, strict=True)]
    places = {pair: place for place, pair in enumerate(sorted(set(pairs)))}
    rows = np.array([places[pair] for pair in pairs])
    shape = len(places), len(groups.members)
    counts = sparse.csr_matrix((np.ones(len(rows)), (rows, groups.rows)), shape=shape)
    owners = np.array([number for number, _ in places])
    return counts, np.flatnonzero(np.diff(owners, prepend=-1))


def _holding(value: float, interval: Interval) -> Interval:
    return min(value, interval[0]), max(value, interval[1])


def _references(predictions: Sequence[Prediction]) -> list[str]:
    """Return references as sets, written in sorted order."""
    known = {p.reference: "; ".join(sorted(answer_set(p.reference))) for p in predictions}
    return [known[p.reference] for p in predictions]


def _most_frequent(alike: Sequence[Key], references: Sequence[str]) -> dict[Key, str]:
    counts: dict[Key, Counter[str]] = defaultdict(Counter)
    for key, answer in zip(alike, references, strict=True):
        counts[key][answer] += 1
    return {
        key: min(counter, key=lambda answer: (-counter[answer], answer))
        for key, counter in counts.items()
    }


def closed_set_hits(predictions: Sequence[Prediction]) -> np.ndarray:
    """Return (N,) float64: 1 right, 0 wrong, NaN where the question has no closed-set reading.

    - Candidates were scored (verify, choose): the one with the highest summed log-probability is
      the answer; the first given wins a tie.
    - Otherwise a query with options: the options that the generated text names are the answer; a
      text that names none is wrong.
    """
    return np.array([_closed_set_hit(prediction) for prediction in predictions], dtype=np.float64)


def _closed_set_hit(prediction: Prediction) -> float:
    if prediction.closed_set:
        best = max(prediction.closed_set, key=lambda candidate: candidate.score)
        return float(is_exact_match(best.text, prediction.reference))
    if prediction.question_type.endswith("query") and prediction.options:
        named = options_in_text(prediction.answer, prediction.options)
        return float(bool(named) and named == answer_set(prediction.reference))
    return float("nan")
