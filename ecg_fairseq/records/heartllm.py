"""HeartLLM's question and report files: PTB-XL's recordings with them, without leaks.

``dataset/ecgqa/ptbxl/template_{train,valid,test}_background.json`` are ECG-QA questions of one
recording; ``dataset/report/ptbxl/{train,valid,test}.json`` ask for the report. The two split the
recordings differently, and neither follows PTB-XL's folds, so one must give way: ``heartllm`` keeps
their sides (a recording on two is on the earlier one, and what was published for the other is
dropped), ``ptb-xl`` keeps the folds. The background (age, sex, device, ...) is the recording's, so
it stands in its labels. Yang et al., HeartLLM, AAAI 2026 (arXiv 2508.15338); fact sheet heartllm 3.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import read_json
from ecg_fairseq.records.cohort import Cohort, Questions, SourceRecord, labels_text
from ecg_fairseq.records.ecg_qa import SINGLE_TYPES, place_questions
from ecg_fairseq.records.label_set import LabelSet
from ecg_fairseq.records.manifest import SPLITS, RecordRow
from ecg_fairseq.records.ptb_xl import ID_COLUMNS, read_ptb_xl
from ecg_fairseq.records.question import Question, canonical_answer
from ecg_fairseq.records.splits import SPLIT_ORDER, keep_fraction

TASKS = ("both", "qa", "report")
SPLIT_RULES = ("heartllm", "ptb-xl")
REPORT_QUESTION = "Write the diagnostic report of this ECG."
REPORT_TYPE = "report"
REPORT_TEMPLATE = 0  # ECG-QA's begin at 1
_QA_FILE = "dataset/ecgqa/ptbxl/template_{split}_background.json"
_REPORT_FILE = "dataset/report/ptbxl/{split}.json"
_UNSURE_TEMPLATE = 1  # the only one of ECG-QA's with the answer "not sure"


@dataclass(frozen=True)
class HeartLlmChoice:
    """Which questions to take, and by whose split."""

    task: str = "both"
    split: str = "heartllm"
    fraction: float = 1.0
    seed: int = 0

    def check(self) -> None:
        """Refuse unknown values with a ManifestError."""
        if self.task not in TASKS or self.split not in SPLIT_RULES:
            raise ManifestError(
                f"--task {self.task!r} --split {self.split!r}; expected one of {TASKS} and one of "
                f"{SPLIT_RULES}"
            )


@dataclass(frozen=True)
class Asked:
    """What the files hold.

    Attributes:
        questions: (published side, question) pairs; patient ids stand empty.
        backgrounds, reports: ecg_id -> text.
        dropped: why entries were left out, and how many.
    """

    questions: list[tuple[str, Question]]
    backgrounds: dict[str, str]
    reports: dict[str, str]
    dropped: Counter


def heartllm_cohort(
    folder: Path,
    ptb_xl: Path,
    choice: HeartLlmChoice,
    rate: int = 500,
    label_set: LabelSet | None = None,
) -> Cohort:
    """Return the recordings that HeartLLM's files ask about as a cohort.

    Args:
        folder: HeartLLM's folder (holds ``dataset``).
        ptb_xl: PTB-XL's folder.
        choice: which files, by whose split.
        rate: 500 or 100; which of the two files of a record is meant.
        label_set: see :mod:`ecg_fairseq.records.ptb_xl_labels`.

    Raises:
        ManifestError: a folder is missing or damaged, or no recording is left.
    """
    choice.check()
    asked = read_heartllm(folder, choice.task)
    sides = _earliest_sides(asked.questions)
    if choice.split == "heartllm" and choice.task == "both":
        _report_conflicts(asked.questions, sides)
    sources = [
        _with_texts(source, asked, sides if choice.split == "heartllm" else {})
        for source in read_ptb_xl(ptb_xl, rate)
        if source.record_id in sides
        and keep_fraction(source.patient_id, choice.fraction, choice.seed)
    ]
    if not sources:
        raise ManifestError(
            f"none of the {len(sides)} recordings that {folder} asks about is in {ptb_xl}"
        )

    def make_questions(rows: Sequence[RecordRow], seed: int) -> tuple[Questions, dict[str, Any]]:
        kept, reasons = place_questions(asked.questions, rows)
        return kept, {"questions_dropped": dict(sorted((asked.dropped + reasons).items()))}

    return Cohort(
        "heartllm_ptbxl",
        sources,
        choice.split,
        straddle="drop" if choice.split == "heartllm" else "move",
        make_questions=make_questions,
        label_set=label_set,
        id_columns=ID_COLUMNS,
        notes={"questions_from": {"heartllm": choice.task}},
    )


def read_heartllm(folder: Path, task: str = "both") -> Asked:
    """Read the files of a task; a file without entries is sound, a missing one is not.

    Raises:
        ManifestError: a file is missing or damaged, or all are empty.
    """
    asked = Asked([], {}, {}, Counter())
    for split in SPLITS:
        if task != "report":
            for entry, where in _entries(folder / _QA_FILE.format(split=split)):
                _add_question(asked, entry, split, where)
        if task != "qa":
            for entry, where in _entries(folder / _REPORT_FILE.format(split=split)):
                _add_report(asked, entry, split, where)
    if not asked.questions:
        raise ManifestError(f"{folder}: no question for --task {task}; are these only excerpts?")
    return asked


def _entries(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    entries = read_json(path, ManifestError, "HeartLLM file")
    if not isinstance(entries, list):
        raise ManifestError(f"{path}: expected a list of questions; copy the file again")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ManifestError(f"{path} entry {number}: expected an object; copy the file again")
        yield entry, f"{path} entry {number}"


def _add_question(asked: Asked, entry: dict[str, Any], split: str, where: str) -> None:
    if entry.get("question_type") not in SINGLE_TYPES:
        asked.dropped["question type of two recordings"] += 1
        return
    try:
        attribute = entry.get("attribute")
        question = Question(
            id=f"heartllm-{split}-{int(entry['sample_id'])}",
            question=str(entry["question"]),
            answer=canonical_answer(_names(entry["answer"])),
            question_type=str(entry["question_type"]),
            attribute_type=entry.get("attribute_type"),
            template_id=int(entry["template_id"]),
            attribute=None if attribute is None else _names(attribute),
            record_ids=[str(int(value)) for value in entry["ecg_id"]],
            patient_ids=[""] * len(entry["ecg_id"]),
            options=_options(entry),
            origin="ecg_qa",
        )
    except (KeyError, TypeError, ValueError, ManifestError) as error:
        raise ManifestError(f"{where}: {error!r}; copy the file again") from error
    asked.questions.append((split, question))
    _note_background(asked, question.record_ids, entry)


def _options(entry: dict[str, Any]) -> list[str] | None:
    """Return the closed set where the entry shows it: yes/no (/not sure), or the offered names."""
    kind = str(entry["question_type"]).rpartition("-")[2]
    if kind == "verify":
        unsure = ["not sure"] if int(entry["template_id"]) == _UNSURE_TEMPLATE else []
        return ["yes", "no", *unsure]
    if kind != "choose":
        return None
    offered = [str(name) for name in entry.get("attribute") or ()]
    if entry.get("attribute_type") == "numeric_feature":
        # "above the normal range of qt interval" is answered without the feature's name.
        offered = [name.partition(" of ")[0] for name in offered]
    return offered or None


def _add_report(asked: Asked, entry: dict[str, Any], split: str, where: str) -> None:
    try:
        record_id, text = str(int(entry["ecg_id"])), str(entry["report"]).strip()
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"{where}: {error!r}; copy the file again") from error
    if not text:
        asked.dropped["empty report"] += 1
        return
    question = Question(
        id=f"heartllm-report-{split}-{record_id}",
        question=REPORT_QUESTION,
        answer=canonical_answer([text]),
        question_type=REPORT_TYPE,
        template_id=REPORT_TEMPLATE,
        record_ids=[record_id],
        patient_ids=[""],
        origin="reports",
    )
    asked.questions.append((split, question))
    asked.reports[record_id] = text
    _note_background(asked, [record_id], entry)


def _note_background(asked: Asked, record_ids: Sequence[str], entry: dict[str, Any]) -> None:
    text = entry.get("background")
    if len(record_ids) == 1 and isinstance(text, str) and text.strip():
        asked.backgrounds.setdefault(record_ids[0], text.strip())


def _names(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list")
    return [str(name) for name in value]


def _earliest_sides(questions: Iterable[tuple[str, Question]]) -> dict[str, str]:
    """Return record id -> the earliest side that it was published for."""
    sides: dict[str, str] = {}
    for split, question in questions:
        for record_id in question.record_ids:
            sides[record_id] = min(sides.get(record_id, split), split, key=SPLIT_ORDER.__getitem__)
    return sides


def _report_conflicts(questions: Sequence[tuple[str, Question]], sides: dict[str, str]) -> None:
    count = sum(split != sides[question.record_ids[0]] for split, question in questions)
    if count:
        print(
            f"{count} of {len(questions)} questions are about recordings that the other task has "
            "on an earlier side, and are dropped; --task qa or --task report keeps them",
            file=sys.stderr,
        )


def _with_texts(source: SourceRecord, asked: Asked, sides: dict[str, str]) -> SourceRecord:
    """Return PTB-XL's record with HeartLLM's report (English), background and side."""
    record_id = source.record_id
    labels = json.loads(source.labels_json)
    return replace(
        source,
        side=sides.get(record_id, source.side),
        report=asked.reports.get(record_id, source.report),
        labels_json=labels_text({**labels, "background": asked.backgrounds.get(record_id)}),
    )
