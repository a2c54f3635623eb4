"""Floors under the exact match, and the closed-set reading of answers.

The majority floor gives every question of a template that template's most frequent reference answer
ON THE SCORED SPLIT ITSELF. It is thus an oracle: no model that ignores the ECG and treats a
template's questions alike can beat it. A model that heeds the wording inside a template can; that
is what the blind floor shows, an ordinary set of predictions scored like any other (``blind.py``).
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from ecg_fairseq.evaluation.answers.exact_match import answer_set, is_exact_match, options_in_text
from ecg_fairseq.evaluation.answers.predictions import Prediction


def exact_match_hits(predictions: Sequence[Prediction]) -> np.ndarray:
    """Return (N,) float64: 1 where the generated answer matches the reference exactly."""
    return np.array([is_exact_match(p.answer, p.reference) for p in predictions], dtype=np.float64)


def majority_answers(predictions: Sequence[Prediction]) -> dict[int, str]:
    """Return each template's most frequent reference answer; ties go to the first in the alphabet.

    Answers are counted as sets and written back as ``"a; b"`` in sorted order.
    """
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for prediction in predictions:
        counts[prediction.template_id]["; ".join(sorted(answer_set(prediction.reference)))] += 1
    return {
        template: min(counter, key=lambda answer: (-counter[answer], answer))
        for template, counter in sorted(counts.items())
    }


def majority_hits(predictions: Sequence[Prediction]) -> np.ndarray:
    """Return (N,) float64: 1 where the template's majority answer is right."""
    majority = majority_answers(predictions)
    return np.array(
        [is_exact_match(majority[p.template_id], p.reference) for p in predictions],
        dtype=np.float64,
    )


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
