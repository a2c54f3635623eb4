"""One question about one or several recordings, as a line of ``{split}.jsonl``."""

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import atomic_write

EMPTY_ANSWER = "none"
STYLES = ("template", "paraphrased")
ORIGINS = ("ecg_qa", "labels", "own", "reports", "ecg_chat")
ANSWER_SEPARATOR = "; "
# A question of this type asks for the recording's written report, which is the answer.
REPORT_TYPE = "report"
REPORT_QUESTION = "Write the diagnostic report of this ECG."
REPORT_TEMPLATE = 0  # ECG-QA's begin at 1


def canonical_answer(answer: Sequence[str]) -> list[str]:
    """Return an answer set sorted, stripped and without doubles; ``["none"]`` for the empty set."""
    names = sorted({str(name).strip() for name in answer} - {""})
    return names or [EMPTY_ANSWER]


def answer_text(answer: Sequence[str]) -> str:
    """Return the text that a model learns to write for an answer set.

    >>> answer_text(["left axis", "sinus rhythm"])
    'left axis; sinus rhythm'
    """
    return ANSWER_SEPARATOR.join(answer)


@dataclass(frozen=True)
class Question:
    """A question with its reference answer.

    Attributes:
        id: unique in the manifest.
        answer: canonical answer set (see :func:`canonical_answer`).
        template_id: questions of one template differ only in what they ask for; -1 if unknown.
        attribute: what is asked for (for *choose*: the offered attributes), or None.
        record_ids: one recording, or two for comparisons, in the order of the question.
        patient_ids: patients of ``record_ids``, in the same order.
        options: the closed set of possible answers, or None for an open question.
        origin: ``ecg_qa``, ``labels`` (built from a dataset's labels), ``reports`` (the answer is a
            recording's written report), ``ecg_chat`` (of its conversations) or ``own``.
    """

    id: str
    question: str
    answer: list[str]
    question_type: str
    record_ids: list[str]
    patient_ids: list[str]
    template_id: int = -1
    attribute_type: str | None = None
    style: str = "template"
    attribute: list[str] | None = None
    options: list[str] | None = None
    origin: str = "own"

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise ManifestError(f"question {self.id!r}: the text is empty; remove or complete it")
        if self.answer != canonical_answer(self.answer):
            raise ManifestError(
                f"question {self.id!r}: answer {self.answer!r} is not a sorted set of names "
                f"(the empty set is written {[EMPTY_ANSWER]!r}); use canonical_answer()"
            )
        if not self.record_ids or len(self.record_ids) != len(self.patient_ids):
            raise ManifestError(
                f"question {self.id!r}: records {self.record_ids!r}, patients "
                f"{self.patient_ids!r}; expected at least one record and one patient for each"
            )
        if self.style not in STYLES or self.origin not in ORIGINS:
            raise ManifestError(
                f"question {self.id!r}: style {self.style!r}, origin {self.origin!r}; expected "
                f"style of {STYLES}, origin of {ORIGINS}"
            )

    @property
    def answer_text(self) -> str:
        """The reference answer as one line of text."""
        return answer_text(self.answer)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any], where: str = "question") -> "Question":
        """Build from a JSON object; unknown keys are ignored.

        Raises:
            ManifestError: a key is missing or of another type; the message starts with ``where``.
        """
        if not isinstance(value, dict):
            raise ManifestError(f"{where}: expected a JSON object, got {type(value).__name__}")
        known = field_names()
        kept = {name: item for name, item in value.items() if name in known}
        _check_types(kept, where)
        try:
            return cls(**kept)
        except TypeError as error:
            raise ManifestError(f"{where}: {error}; the manifest must be made anew") from error
        except ManifestError as error:
            raise ManifestError(f"{where}: {error}") from error


@functools.cache
def field_names() -> tuple[str, ...]:
    """Return the names of a question's fields, in the order in which they are written."""
    return tuple(field.name for field in fields(Question))


def candidate_answers(question: Question) -> list[str]:
    """Return every answer text that a verify or choose question can have; else an empty list.

    Verify: its options. Choose: each offered finding, both, or none. Query questions have as many
    answers as their options have subsets: they are scored by set match instead.
    """
    return candidate_texts(question.question_type, question.options or ())


def candidate_texts(question_type: str, options: Sequence[str]) -> list[str]:
    """Return :func:`candidate_answers` of a question of this type with these options."""
    if question_type.endswith("verify"):
        return [answer_text([option]) for option in options]
    if question_type.endswith("choose"):
        names = [option for option in options if option != EMPTY_ANSWER]
        sets = [[name] for name in names]
        if len(names) > 1:
            sets.append(names)
        return [answer_text(canonical_answer(names)) for names in sets] + [EMPTY_ANSWER]
    return []


_TEXT_LISTS = ("answer", "record_ids", "patient_ids", "attribute", "options")
_NULLABLE = ("attribute", "options", "attribute_type")


def _check_types(value: dict[str, Any], where: str) -> None:
    for name, item in value.items():
        if item is None and name in _NULLABLE:
            continue
        if name in _TEXT_LISTS:
            good = isinstance(item, list) and all(isinstance(entry, str) for entry in item)
        else:
            good = isinstance(item, int if name == "template_id" else str)
        if not good:
            wanted = "a list of strings" if name in _TEXT_LISTS else "an integer or a string"
            raise ManifestError(
                f"{where}: {name} is {item!r}; expected {wanted}; the manifest must be made anew"
            )


def write_questions(path: Path | str, questions: Iterable[Question]) -> int:
    """Write one JSON object a line, atomically; return how many."""
    count = 0
    with atomic_write(path) as stream:
        for question in questions:
            stream.write(json.dumps(question.to_dict(), ensure_ascii=False) + "\n")
            count += 1
    return count
