"""What a closed set must hold: every answer that its question offers, and no other.

A candidate that is not offered would win a point from nowhere, and a lacking one cannot win: the
accuracy of a set with the reference alone is 1 whatever the model knows.
"""

from collections.abc import Iterable, Sequence

from ecg_fairseq.evaluation.answers.exact_match import answer_set
from ecg_fairseq.records.questions.question import EMPTY_ANSWER, candidate_texts


def fault_of_closed_set(
    question_type: str, options: Sequence[str] | None, texts: Sequence[str]
) -> str | None:
    """Say why the texts of scored candidates are not those of a question; None where they are.

    Questions without options, or without scored candidates, have no fault.
    """
    if not texts or options is None:
        return None
    if len(set(texts)) < len(texts):
        return f"the closed set has a candidate twice, found {list(texts)!r}"
    fixed = candidate_texts(question_type, options)
    needed = {answer_set(text) for text in fixed or options}
    for text in texts:
        # Questions of other types may be answered by several options at once.
        if answer_set(text) not in needed and (fixed or is_beside(text, options)):
            return f"the closed-set candidate {text!r} is not among the options {list(options)!r}"
    given = {answer_set(text) for text in texts}
    lacking = [text for text in fixed or options if answer_set(text) not in given]
    if lacking:
        return f"the closed set lacks {lacking[0]!r}, which the options {list(options)!r} offer"
    return None


def is_beside(answer: str, options: Iterable[str] | None) -> bool:
    """Say whether an answer has an item of none of the options; "none" is offered everywhere."""
    if options is None:
        return False
    offered = {item for option in options for item in answer_set(option)}
    return not answer_set(answer) <= offered | {EMPTY_ANSWER}
