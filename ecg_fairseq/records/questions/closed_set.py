"""The closed set of answers of a question, as texts."""

from ecg_fairseq.records.questions.question import (
    EMPTY_ANSWER,
    Question,
    answer_text,
    canonical_answer,
)


def candidate_answers(question: Question) -> list[str]:
    """Return every answer text that a verify or choose question can have; else an empty list.

    Verify: its options. Choose: each offered finding, both, or none. Query questions have as many
    answers as their options have subsets: they are scored by set match instead.
    """
    options = question.options or []
    if question.question_type.endswith("verify"):
        return [answer_text([option]) for option in options]
    if question.question_type.endswith("choose"):
        names = [option for option in options if option != EMPTY_ANSWER]
        sets = [[name] for name in names]
        if len(names) > 1:
            sets.append(names)
        return [answer_text(canonical_answer(names)) for names in sets] + [EMPTY_ANSWER]
    return []
