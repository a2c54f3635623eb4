"""What a closed set must hold: every option of its question, and no answer that is not offered.

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
    # Of a choice both or none may be scored too; of other types several options at once.
    fixed = candidate_texts(question_type, options)
    offered = {answer_set(text) for text in (*options, *fixed)}
    for text in texts:
        if answer_set(text) not in offered and (fixed or is_beside(text, options)):
            return f"the closed-set candidate {text!r} is not among the options {list(options)!r}"
    given = {answer_set(text) for text in texts}
    lacking = [option for option in options if answer_set(option) not in given]
    if lacking:
        return f"the closed set lacks {lacking[0]!r} of the options {list(options)!r}"
    return None


def is_beside(answer: str, options: Iterable[str] | None) -> bool:
    """Say whether an answer has an item of none of the options; "none" is offered everywhere."""
    if options is None:
        return False
    offered = {item for option in options for item in answer_set(option)}
    return not answer_set(answer) <= offered | {EMPTY_ANSWER}
