"""Answers that are not among the options of their question, and closed sets without a best one."""

from collections.abc import Sequence

import numpy as np

from ecg_fairseq.evaluation.answers.closed_set import is_beside
from ecg_fairseq.evaluation.answers.predictions import Candidate, Prediction


def num_answers_not_offered(predictions: Sequence[Prediction]) -> int:
    """Return how many written answers name something beside the options of their question."""
    return sum(is_beside(p.answer, p.options) for p in predictions)


def num_references_not_offered(predictions: Sequence[Prediction]) -> int:
    """Return how many references name something beside the options: faults of the questions."""
    return sum(is_beside(p.reference, p.options) for p in predictions)


def num_tied(predictions: Sequence[Prediction], hits: np.ndarray) -> int:
    """Return how many counted closed sets have several best candidates, of one score.

    Args:
        predictions: N.
        hits: (N,) of the closed sets; NaN where one does not count.
    """
    return sum(
        _is_tied(prediction.closed_set)
        for prediction, hit in zip(predictions, hits, strict=True)
        if not np.isnan(hit)
    )


def _is_tied(candidates: Sequence[Candidate]) -> bool:
    scores = [candidate.score for candidate in candidates]
    return len(scores) > 1 and scores.count(max(scores)) > 1
