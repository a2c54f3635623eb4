"""Whether the lines of a predictions file are of a manifest's questions, and of which kind of run.

A predictions file has no mark of a blind run: the ECGs that a line names tell it. In a sighted run
they are the question's own; in a blind one those of another question of the template, about other
patients (earlier versions chose partners by another rule, within the same group).
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.predictions import Prediction
from ecg_fairseq.records.questions.question import Question

_FIELDS = ("question", "question_type", "template_id", "options")
_ECGS = ("record_ids", "patient_ids")
_ADVICE = "give the manifest that was answered, or none"


def check_against_manifest(
    path: Path,
    numbered: Iterable[tuple[int, Prediction]],
    questions: Sequence[Question],
    is_blind: bool,
) -> None:
    """Check that every line is of its question in the manifest, and of the kind of run asked for.

    Args:
        path: of the predictions file.
        numbered: its lines, with their numbers.
        questions: of the subset that was answered.
        is_blind: whether another patient's ECGs must have been shown.

    Raises:
        ScoreError: names the first line that differs, and what differs.
    """
    asked = {question.id: question for question in questions}
    fault_of = fault_finder(questions, is_blind)
    for number, prediction in numbered:
        question = asked.get(prediction.id)
        where = f"{path}, line {number}: question {prediction.id!r}"
        if question is None or question.answer_text != prediction.reference:
            raise ScoreError(
                f"{where} with reference {prediction.reference!r} is not in the manifest's "
                f"subset; {_ADVICE}"
            )
        for name in _FIELDS:
            given, expected = _plain(getattr(prediction, name)), _plain(getattr(question, name))
            if given != expected:
                raise ScoreError(
                    f"{where} has {name} {given!r}, the manifest has {expected!r}; {_ADVICE}"
                )
        if fault := fault_of(prediction, question):
            raise ScoreError(f"{where} {fault}")


def agrees(prediction: Prediction, question: Question) -> bool:
    """Say whether a prediction has all of its question but the ECGs shown, which may be others."""
    return all(
        _plain(getattr(prediction, name)) == _plain(getattr(question, name)) for name in _FIELDS
    )


def fault_finder(
    questions: Sequence[Question], is_blind: bool
) -> Callable[[Prediction, Question], str | None]:
    """Return what says why the ECGs shown cannot be of such a run; None where they can."""
    if not is_blind:
        return _fault_of_sighted
    known = {(q.template_id, tuple(q.record_ids), tuple(q.patient_ids)) for q in questions}

    def fault(prediction: Prediction, question: Question) -> str | None:
        shared = set(prediction.record_ids) & set(question.record_ids)
        shared |= set(prediction.patient_ids) & set(question.patient_ids)
        if shared:
            return (
                f"was shown {_shown(prediction)}, of which {min(shared)!r} is the question's own: "
                "this is no blind run; give the answers of fairseq-generate --blind after --blind"
            )
        shown = prediction.template_id, prediction.record_ids, prediction.patient_ids
        if shown in known:
            return None
        return (
            f"was shown {_shown(prediction)}, which no question of template "
            f"{prediction.template_id} in the manifest's subset has; {_ADVICE}"
        )

    return fault


def _fault_of_sighted(prediction: Prediction, question: Question) -> str | None:
    for name in _ECGS:
        if list(getattr(prediction, name)) != list(getattr(question, name)):
            return (
                f"has {name} {list(getattr(prediction, name))!r}, the manifest has "
                f"{list(getattr(question, name))!r}: another ECG than the question's was shown; "
                "give the answers of a blind run after --blind"
            )
    return None


def _shown(prediction: Prediction) -> str:
    records, patients = list(prediction.record_ids), list(prediction.patient_ids)
    return f"record_ids {records!r} of patient_ids {patients!r}"


def _plain(value: Any) -> Any:
    """Return lists for tuples, as files have them."""
    return list(value) if isinstance(value, tuple) else value
