"""HeartLLM's question and report files on PTB-XL or MIMIC-IV-ECG, without leaks.

    ecg-fairseq prepare heartllm HEARTLLM_DIR --ptb-xl DIR --out DIR --recipe heartllm

``dataset/ecgqa/{ptbxl,mimic-iv-ecg}/template_{train,valid,test}_background.json`` are ECG-QA
questions of one recording; ``dataset/report/.../{train,valid,test}.json`` ask for the report, which
is the answer of a question of type report. The two split the recordings differently, and neither
follows PTB-XL's folds, so one must give way: ``heartllm`` keeps their splits (a recording in two is
in the earlier one, and what was published for the other is dropped), ``ptb-xl`` keeps the folds.
The background (age, sex, device, ...) is the recording's, so it stands in its labels. Yang et al.,
HeartLLM, AAAI 2026 (arXiv 2508.15338); fact sheet heartllm 3.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import read_json
from ecg_fairseq.records.datasets.ecg_qa import SINGLE_TYPES, place_questions
from ecg_fairseq.records.datasets.ecg_qa_files import question_of_entry
from ecg_fairseq.records.datasets.json_values import text_of, whole_of
from ecg_fairseq.records.datasets.mimic_iv_ecg import ID_COLUMNS as MIMIC_ID_COLUMNS
from ecg_fairseq.records.datasets.mimic_iv_ecg import read_mimic_iv_ecg
from ecg_fairseq.records.datasets.options import add_split_option, choice_from
from ecg_fairseq.records.datasets.ptb_xl_files import ID_COLUMNS, kept_records
from ecg_fairseq.records.datasets.ptb_xl_or_mimic import add_recordings_options, recordings_dataset
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.manifest.splits import SPLIT_ORDER
from ecg_fairseq.records.preparation.raw_dataset import Questions, RawDataset
from ecg_fairseq.records.questions.question import (
    REPORT_QUESTION,
    REPORT_TEMPLATE,
    REPORT_TYPE,
    Question,
    canonical_answer,
)
from ecg_fairseq.records.record_row import SPLITS, RecordRow
from ecg_fairseq.records.source_record import SourceRecord, labels_text

RAW_HELP = "HeartLLM's folder (holds dataset/ecgqa and dataset/report)"
TASKS = ("both", "qa", "report")
SPLIT_RULES = ("heartllm", "ptb-xl")
PTB_XL, MIMIC_IV_ECG = "ptbxl", "mimic-iv-ecg"
_QA_FILE = "dataset/ecgqa/{version}/template_{split}_background.json"
_REPORT_FILE = "dataset/report/{version}/{split}.json"
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only this dataset has."""
    add_recordings_options(parser)
    parser.add_argument("--task", choices=TASKS, default="both", help="which files (default both)")
    text = "whose splits count; ptb-xl keeps only questions whose ECGs are all in their split"
    add_split_option(parser, SPLIT_RULES, text)


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    folder, choice = arguments.raw_dir, choice_from(HeartLlmChoice, arguments)
    return recordings_dataset(
        arguments,
        lambda ptb_xl, rate, labels: heartllm_dataset(folder, ptb_xl, choice, rate, labels),
        lambda mimic, patients: heartllm_mimic_dataset(folder, mimic, choice, patients),
    )


@dataclass(frozen=True)
class Asked:
    """What the files hold.

    Attributes:
        questions: (published split, question) pairs; patient ids stand empty.
        backgrounds, reports: ecg_id -> text.
        dropped: why entries were left out, and how many.
    """

    questions: list[tuple[str, Question]]
    backgrounds: dict[str, str]
    reports: dict[str, str]
    dropped: Counter


def heartllm_dataset(
    folder: Path,
    ptb_xl: Path,
    choice: HeartLlmChoice,
    rate: int = 500,
    label_set: LabelSet | None = None,
) -> RawDataset:
    """Return PTB-XL's recordings that HeartLLM's files ask about as a dataset.

    Args:
        folder: HeartLLM's folder (holds ``dataset``).
        ptb_xl: PTB-XL's folder.
        choice: which files, by whose split.
        rate: 500 or 100; which of the two files of a record is meant.
        label_set: see :mod:`ecg_fairseq.records.datasets.ptb_xl_labels`.

    Raises:
        ManifestError: a folder is missing or damaged, or no recording is left.
    """
    choice.check()
    sources = kept_records(ptb_xl, rate, choice.fraction, choice.seed)
    parts = _asked_about(read_heartllm(folder, choice.task), ptb_xl, sources, choice)
    return RawDataset("heartllm_ptbxl", label_set=label_set, id_columns=ID_COLUMNS, **parts)


def heartllm_mimic_dataset(
    folder: Path, mimic: Path, choice: HeartLlmChoice, patients: Path | None = None
) -> RawDataset:
    """Return MIMIC-IV-ECG's recordings that HeartLLM's files ask about as a dataset.

    Args:
        folder: HeartLLM's folder (holds ``dataset``).
        mimic: MIMIC-IV-ECG's folder (holds ``record_list.csv``).
        choice: which files; there are no folds to split by.
        patients: MIMIC-IV's ``patients.csv``, for sex and age.

    Raises:
        ManifestError: a folder is missing or damaged, or no recording is left.
    """
    choice.check()
    if choice.split != "heartllm":
        raise ManifestError("MIMIC-IV-ECG has no published folds; leave out --split ptb-xl")
    sources = read_mimic_iv_ecg(mimic, patients, choice.fraction, choice.seed)
    asked = read_heartllm(folder, choice.task, MIMIC_IV_ECG)
    parts = _asked_about(asked, mimic, sources, choice)
    return RawDataset("heartllm_mimic_iv_ecg", id_columns=MIMIC_ID_COLUMNS, **parts)


def _asked_about(
    asked: Asked, raw: Path, sources: Iterable[SourceRecord], choice: HeartLlmChoice
) -> dict[str, Any]:
    """Return a dataset's parts: recordings with splits and texts, and what makes the questions."""
    splits = _earliest_splits(asked.questions)
    if choice.split == "heartllm" and choice.task == "both":
        _report_conflicts(asked.questions, splits)
    kept_splits = splits if choice.split == "heartllm" else {}
    kept = [
        _with_texts(source, asked, kept_splits) for source in sources if source.record_id in splits
    ]
    if not kept:
        raise ManifestError(
            f"none of the {len(splits)} recordings that the questions ask about is in {raw}"
        )

    def make_questions(rows: Sequence[RecordRow], seed: int) -> tuple[Questions, dict[str, Any]]:
        placed, reasons = place_questions(asked.questions, rows)
        return placed, {"questions_dropped": dict(sorted((asked.dropped + reasons).items()))}

    return {
        "sources": kept,
        "split_rule": choice.split,
        "straddle": "drop" if choice.split == "heartllm" else "move",
        "make_questions": make_questions,
        "notes": {"questions_from": {"heartllm": choice.task}},
    }


def read_heartllm(folder: Path, task: str = "both", version: str = PTB_XL) -> Asked:
    """Read the files of a task; a file without entries is sound, a missing one is not.

    Args:
        folder: HeartLLM's folder (holds ``dataset``).
        task: one of ``TASKS``.
        version: ``ptbxl`` or ``mimic-iv-ecg``.

    Raises:
        ManifestError: a file is missing or damaged, or all are empty.
    """
    asked = Asked([], {}, {}, Counter())
    for split in SPLITS:
        if task != "report":
            for entry, where in _entries(folder / _QA_FILE.format(version=version, split=split)):
                _add_question(asked, entry, split, where)
        if task != "qa":
            path = folder / _REPORT_FILE.format(version=version, split=split)
            for entry, where in _entries(path):
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
    options = _template_options(entry)
    question = question_of_entry(entry, f"heartllm-{split}", "template", options, where)
    asked.questions.append((split, question))
    _note_background(asked, question.record_ids, entry)


def _template_options(entry: dict[str, Any]) -> dict[int, list[str]]:
    """Return what ECG-QA's own table of answers says, as far as one entry shows it."""
    template, attribute = entry.get("template_id"), entry.get("attribute")
    if not isinstance(template, int):
        return {}
    if template == _UNSURE_TEMPLATE:
        return {template: ["yes", "no", "not sure"]}
    if entry.get("attribute_type") == "numeric_feature" and isinstance(attribute, list):
        # "above the normal range of qt interval" is answered without the feature's name.
        is_choice = str(entry.get("question_type")).endswith("choose")
        return (
            {template: [str(name).partition(" of ")[0] for name in attribute]} if is_choice else {}
        )
    return {}


def _add_report(asked: Asked, entry: dict[str, Any], split: str, where: str) -> None:
    try:
        record_id = str(whole_of(entry["ecg_id"], "ecg_id"))
        text = text_of(entry["report"], "report").strip()
    except KeyError as error:
        raise ManifestError(f"{where}: it has no {error}; copy the file again") from error
    except ValueError as error:
        raise ManifestError(f"{where}: {error}; copy the file again") from error
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


def _earliest_splits(questions: Iterable[tuple[str, Question]]) -> dict[str, str]:
    """Return record id -> the earliest split that it was published for."""
    splits: dict[str, str] = {}
    for split, question in questions:
        for record_id in question.record_ids:
            splits[record_id] = min(
                splits.get(record_id, split), split, key=SPLIT_ORDER.__getitem__
            )
    return splits


def _report_conflicts(questions: Sequence[tuple[str, Question]], splits: dict[str, str]) -> None:
    count = sum(split != splits[question.record_ids[0]] for split, question in questions)
    if count:
        print(
            f"{count} of {len(questions)} questions are about recordings that the other task has "
            "on an earlier side, and are dropped; --task qa or --task report keeps them",
            file=sys.stderr,
        )


def _with_texts(source: SourceRecord, asked: Asked, splits: dict[str, str]) -> SourceRecord:
    """Return a record with HeartLLM's report (PTB-XL's in English), background and split."""
    record_id = source.record_id
    labels = json.loads(source.labels_json)
    return replace(
        source,
        split=splits.get(record_id, source.split),
        report=asked.reports.get(record_id, source.report),
        labels_json=labels_text({**labels, "background": asked.backgrounds.get(record_id)}),
    )
