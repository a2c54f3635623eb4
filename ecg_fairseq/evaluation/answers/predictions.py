"""Answers with their references: the lines of ``predictions.jsonl``.

The file holds all that the scores need, so that anyone can recompute every figure from it without
the model, the recordings or the manifest.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.closed_set import fault_of_closed_set
from ecg_fairseq.files import atomic_write
from ecg_fairseq.records.questions.question import Question

PREDICTIONS_FILE = "predictions.jsonl"
_TEXT_FIELDS = ("id", "question", "question_type", "answer", "reference")
_LIST_FIELDS = ("record_ids", "patient_ids")


@dataclass(frozen=True)
class Candidate:
    """One offered answer and its summed token log-probability (base 2)."""

    text: str
    score: float


@dataclass(frozen=True)
class Prediction:
    """One question, the generated answer and the reference.

    ``record_ids`` and ``patient_ids`` name the ECGs that the model was shown: in a blind run those
    of another patient. ``closed_set`` is empty when the candidates were not scored; ``options`` is
    None for open questions.
    """

    id: str
    question: str
    question_type: str
    template_id: int
    answer: str
    reference: str
    record_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    options: tuple[str, ...] | None = None
    closed_set: tuple[Candidate, ...] = ()

    def __post_init__(self) -> None:
        if fault := fault_of_scores(self.closed_set):
            raise ScoreError(f"question {self.id!r}: {fault}")

    @classmethod
    def of(cls, question: Question, shown: Question, answers: Sequence[Candidate]) -> "Prediction":
        """Join what a model wrote with its question.

        Args:
            question: the question that was asked.
            shown: the question whose ECGs were shown: itself, or another one in a blind run.
            answers: the free-text answer, then the closed set in its written order, if scored.
        """
        return cls(
            id=question.id,
            question=question.question,
            question_type=question.question_type,
            template_id=question.template_id,
            answer=answers[0].text,
            reference=question.answer_text,
            record_ids=tuple(shown.record_ids),
            patient_ids=tuple(shown.patient_ids),
            options=None if question.options is None else tuple(question.options),
            closed_set=tuple(answers[1:]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of one line."""
        line: dict[str, Any] = {
            "id": self.id,
            "question": self.question,
            "question_type": self.question_type,
            "template_id": self.template_id,
            "answer": self.answer,
            "reference": self.reference,
            "record_ids": list(self.record_ids),
            "patient_ids": list(self.patient_ids),
        }
        if self.options is not None:
            line["options"] = list(self.options)
        if self.closed_set:
            line["closed_set"] = [{"text": c.text, "score": c.score} for c in self.closed_set]
        return line

    @classmethod
    def from_dict(cls, line: Any) -> "Prediction":
        """Check and read one line's JSON object.

        Raises:
            ValueError: a field is missing or of another kind; the message names it.
        """
        if not isinstance(line, dict):
            raise ValueError(f"a JSON object is expected, found {type(line).__name__}")
        for name in (*_TEXT_FIELDS, "template_id", *_LIST_FIELDS):
            if name not in line:
                raise ValueError(f"the field {name!r} is missing")
        for name in _TEXT_FIELDS:
            _check_text(name, line[name])
        for name in _LIST_FIELDS:
            _check_texts(name, line[name])
            if not line[name] or not all(item.strip() for item in line[name]):
                raise ValueError(
                    f"the field {name!r} must name at least one, and none of them by an empty "
                    f"text, found {line[name]!r}"
                )
        template_id = line["template_id"]
        if isinstance(template_id, bool) or not isinstance(template_id, int):
            raise ValueError(f"the field 'template_id' must be an integer, found {template_id!r}")
        options = line.get("options")
        if options is not None:
            _check_texts("options", options)
        closed_set = _read_candidates(line.get("closed_set") or ())
        texts = [candidate.text for candidate in closed_set]
        fault = fault_of_scores(closed_set)
        if fault := fault or fault_of_closed_set(line["question_type"], options, texts):
            raise ValueError(fault)
        return cls(
            **{name: line[name] for name in _TEXT_FIELDS},
            record_ids=tuple(line["record_ids"]),
            patient_ids=tuple(line["patient_ids"]),
            template_id=template_id,
            options=None if options is None else tuple(options),
            closed_set=closed_set,
        )


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"the field {name!r} must be text, found {value!r}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(
            f"the field {name!r} holds half a character (a lone surrogate), which no file can "
            f"keep, found {value!a}"
        )


def _check_texts(name: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"the field {name!r} must be a list of texts, found {value!r}")
    for item in value:
        _check_text(name, item)


def _read_candidates(items: Any) -> tuple[Candidate, ...]:
    if not isinstance(items, (list, tuple)):
        raise ValueError('\'closed_set\' must be a list of {"text", "score"}')
    return tuple(_read_candidate(item) for item in items)


def _read_candidate(item: Any) -> Candidate:
    expected = '\'closed_set\' must be a list of {"text", "score"}'
    try:
        text, score = item["text"], item["score"]
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            raise ValueError(f"{expected}, with a number for a score, found {score!r}")
        score = float(score)
    except (TypeError, KeyError, OverflowError) as cause:
        raise ValueError(expected) from cause
    _check_text("closed_set", text)
    return Candidate(text, score)


def fault_of_scores(candidates: Sequence[Candidate]) -> str | None:
    """Say what is wrong with a closed set whose scores are not all finite; None where they are."""
    wrong = [one for one in candidates if not math.isfinite(one.score)]
    if not wrong:
        return None
    score = "NaN" if math.isnan(wrong[0].score) else f"{wrong[0].score}"
    return (
        f"a closed-set candidate has the score {score}; the model's output is not finite: look at "
        "its training log, or generate in float32"
    )


def write_predictions(path: Path | str, predictions: Iterable[Prediction]) -> None:
    """Write one JSON object a line, atomically."""
    with atomic_write(path) as stream:
        for prediction in predictions:
            stream.write(json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n")


def read_predictions(path: Path | str) -> list[Prediction]:
    """Read ``predictions.jsonl``.

    Raises:
        ScoreError: the file is missing, empty or damaged, or an id occurs twice; names the line.
    """
    return [prediction for _, prediction in read_numbered(path)]


def read_numbered(path: Path | str) -> list[tuple[int, Prediction]]:
    """Read ``predictions.jsonl`` with the numbers of its lines, from 1.

    Raises:
        ScoreError: see :func:`read_predictions`.
    """
    predictions: list[tuple[int, Prediction]] = []
    seen: dict[str, int] = {}
    try:
        with open(path, encoding="utf-8") as stream:
            for number, text in enumerate(stream, start=1):
                if not text.strip():
                    continue
                prediction = _parse_line(path, number, text)
                if prediction.id in seen:
                    raise ScoreError(
                        f"{path}, line {number}: question id {prediction.id!r} stands on line "
                        f"{seen[prediction.id]} already; keep one answer for each question"
                    )
                seen[prediction.id] = number
                predictions.append((number, prediction))
    except (OSError, UnicodeDecodeError) as cause:
        raise ScoreError(f"predictions {path} cannot be read: {cause}") from cause
    if not predictions:
        raise ScoreError(f"{path} holds no answers; was the run that wrote it cut off?")
    return predictions


def _parse_line(path: Path | str, number: int, text: str) -> Prediction:
    try:
        return Prediction.from_dict(json.loads(text))
    except (ValueError, RecursionError) as cause:
        raise ScoreError(
            f"{path}, line {number}: {cause}; a line of predictions.jsonl is expected "
            "(fairseq-generate writes one into its --results-path)"
        ) from cause
