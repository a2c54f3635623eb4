"""Questions of a simulated cohort in ECG-QA's layout (fact sheet heartllm.md, section 9.1).

``ecgqa/ptbxl/{template,paraphrased}/{train,valid,test}/NNNNN.json`` with at most 10,000 entries
each, ``answers.csv``, ``answers_for_each_template.csv`` and ``{train,valid,test}_ecgs.tsv``.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ecg_fairseq.files import atomic_write
from ecg_fairseq.records.questions.from_labels import (
    QUESTION_TYPES,
    LabelledRecord,
    build_split_questions,
)
from ecg_fairseq.records.questions.question import STYLES, Question
from ecg_fairseq.records.record_row import SPLITS

SHARD_SIZE = 10_000
_ANSWERS_FIRST = ("no", "not sure", "yes")
# ECG-QA's files are indented by four blanks; written out, because json.dump with an indent does
# not use its compiled encoder and takes ten times as long.
_ENTRY = """    {{
        "template_id": {template_id},
        "question_id": {question_id},
        "sample_id": {sample_id},
        "question_type": {question_type},
        "attribute_type": {attribute_type},
        "question": {question},
        "answer": {answer},
        "ecg_id": {ecg_id},
        "attribute": {attribute}
    }}"""


def write_ecg_qa(
    folder: Path,
    records: Sequence[LabelledRecord],
    seed: int,
    types: Iterable[str] = QUESTION_TYPES,
    version: str = "ptbxl",
    num_digits: int = 5,
) -> dict[str, int]:
    """Build the questions of ``records`` and write them below ``folder``/ecgqa/``version``.

    Args:
        num_digits: of the files' names.

    Returns:
        Number of questions of one style in each split.
    """
    root = folder / "ecgqa" / version
    types = tuple(types)
    counts: dict[str, int] = {}
    for style in STYLES:
        by_split = build_split_questions(records, seed, types, style)
        question_ids = _question_ids(by_split)
        for split, questions in by_split.items():
            _write_shards(root / style / split, questions, question_ids, num_digits)
            counts[split] = len(questions)
        if style == STYLES[0]:
            _write_answers(root, [item for items in by_split.values() for item in items])
    for split in SPLITS:
        ids = [record.record_id for record in records if record.split == split]
        with atomic_write(root / f"{split}_ecgs.tsv") as stream:
            stream.writelines(f"{index}\t{name}\n" for index, name in enumerate(ids))
    return counts


def _key(question: Question) -> tuple[int, tuple[str, ...]]:
    return question.template_id, tuple(question.attribute or ())


def _question_ids(by_split: dict[str, list[Question]]) -> dict[tuple[int, tuple[str, ...]], int]:
    """Number the questions; paraphrases of one question share the number."""
    keys = sorted({_key(item) for questions in by_split.values() for item in questions})
    return {key: number for number, key in enumerate(keys)}


def _write_shards(
    folder: Path,
    questions: Sequence[Question],
    question_ids: dict[tuple[int, tuple[str, ...]], int],
    num_digits: int,
) -> None:
    for start in range(0, max(len(questions), 1), SHARD_SIZE):
        entries = [
            _entry(question, question_ids[_key(question)], start + offset)
            for offset, question in enumerate(questions[start : start + SHARD_SIZE])
        ]
        with atomic_write(folder / f"{start:0{num_digits}d}.json") as stream:
            stream.write("[\n" + ",\n".join(entries) + "\n]" if entries else "[]")
    for stale in folder.glob("*.json"):
        if int(stale.stem) >= max(len(questions), 1):
            stale.unlink()


def _entry(question: Question, question_id: int, sample_id: int) -> str:
    attribute = question.attribute
    return _ENTRY.format(
        template_id=question.template_id,
        question_id=question_id,
        sample_id=sample_id,
        question_type=json.dumps(question.question_type),
        attribute_type=json.dumps(question.attribute_type),
        question=json.dumps(question.question),
        answer=_listed([json.dumps(name) for name in question.answer]),
        ecg_id=_listed(question.record_ids),
        attribute="null" if attribute is None else _listed([json.dumps(a) for a in attribute]),
    )


def _listed(items: Sequence[str]) -> str:
    return "[\n" + ",\n".join(f"            {item}" for item in items) + "\n        ]"


def _write_answers(root: Path, questions: Sequence[Question]) -> None:
    classes: dict[int, set[str]] = {}
    for question in questions:
        found = classes.setdefault(question.template_id, set())
        found.update(question.options or ())
        found.update(question.answer)
    known = {name for found in classes.values() for name in found}
    ordered = [name for name in _ANSWERS_FIRST if name in known]
    ordered += sorted(known - set(_ANSWERS_FIRST))
    _write_rows(root / "answers.csv", ("index", "class"), enumerate(ordered))
    _write_rows(
        root / "answers_for_each_template.csv",
        ("template_id", "classes"),
        ((number, str(sorted(classes[number]))) for number in sorted(classes)),
    )


def _write_rows(path: Path, header: tuple[str, str], rows: Iterable[tuple]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with atomic_write(path) as stream:
        stream.write(text.getvalue())
