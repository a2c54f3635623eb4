"""Answers that are not among the options of their question."""

from collections.abc import Iterable, Sequence

from ecg_fairseq.evaluation.answers.exact_match import answer_set
from ecg_fairseq.evaluation.answers.predictions import Prediction
from ecg_fairseq.records.questions.question import EMPTY_ANSWER


def num_answers_not_offered(predictions: Sequence[Prediction]) -> int:
    """Return how many written answers name something beside the options of their question."""
    return sum(_is_beside(p.answer, p.options) for p in predictions)


def num_references_not_offered(predictions: Sequence[Prediction]) -> int:
    """Return how many references name something beside the options: faults of the questions."""
    return sum(_is_beside(p.reference, p.options) for p in predictions)


def _is_beside(answer: str, options: Iterable[str] | None) -> bool:
    """Say whether an answer has an item of none of the options; "none" is offered everywhere."""
    if options is None:
        return False
    offered = {item for option in options for item in answer_set(option)}
    return not answer_set(answer) <= offered | {EMPTY_ANSWER}
