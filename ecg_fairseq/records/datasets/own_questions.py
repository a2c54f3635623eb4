"""The questions table of own data: its lines checked, and each given to the recording it means."""

import difflib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.csv_table import whole_number
from ecg_fairseq.records.datasets.record_names import RecordNames
from ecg_fairseq.records.preparation.raw_dataset import QuestionMaker, Questions
from ecg_fairseq.records.questions.question import (
    EMPTY_ANSWER,
    Question,
    canonical_answer,
)
from ecg_fairseq.records.questions.templates import SINGLE_CHOOSE, SINGLE_QUERY, SINGLE_VERIFY
from ecg_fairseq.records.record_row import SPLITS, RecordRow

# Of lines about no recording, more than this share means that the ids do not fit together.
MOST_UNMATCHED = 0.01
_NEEDED = ("record_id", "question", "answer")
_COLUMNS = (*_NEEDED, "id", "question_type", "template_id", "options")
_OTHER_NAMES = {"choice": "options", "choices": "options", "candidates": "options"}
_NO_ANSWER = ("", "nan", "<na>")
_EXAMPLES = 3


@dataclass(frozen=True)
class _Line:
    """One question as the table has it, with the id of the recording that it is about."""

    number: int
    cells: dict[str, str]
    record_id: str
    answer: list[str]
    options: list[str]
    template_id: int


def own_question_maker(
    path: Path, table: Sequence[dict[str, str]], names: RecordNames
) -> QuestionMaker:
    """Return what makes the questions of a table.

    Args:
        names: of all recordings that are there, also of those that will not be used.

    Raises:
        ManifestError: a column is lacking, a line cannot be used, or more than 1 % of the lines
            are about no recording.
    """
    _check_columns(path, table[0])
    lines, notes = _matched_lines(path, table, names)
    types = _types_of_templates(lines)
    _check_answers(path, lines, types)

    def make(rows: Sequence[RecordRow], seed: int) -> tuple[Questions, dict[str, Any]]:
        by_id = {row.record_id: row for row in rows}
        kept: Questions = {split: [] for split in SPLITS}
        num_dropped = 0
        for line in lines:
            row = by_id.get(line.record_id)
            if row is None:
                num_dropped += 1
            else:
                kept[row.split].append(_question(line, row, types[line.template_id]))
        if num_dropped == len(lines):
            raise ManifestError(
                f"none of the {num_dropped} questions of {path} names a usable record; those there "
                "are were skipped: see skipped.tsv"
            )
        if num_dropped:
            print(
                f"{num_dropped} questions of {path} are about recordings that are not used",
                file=sys.stderr,
            )
        return kept, {"questions_dropped": {"recording not available": num_dropped}, **notes}

    return make


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    columns = list(columns)
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise ManifestError(
            f"questions table {path}: the questions table has no column {missing[0]}; it has "
            f"{', '.join(columns)[:200]}"
        )
    others = {name: _meant(name) for name in columns if name and name not in _COLUMNS}
    if others:
        shown = [
            f"{name} (is it {meant}? then call it that)" if meant and meant not in columns else name
            for name, meant in others.items()
        ]
        print(f"columns of {path} that are not read: {', '.join(shown)}", file=sys.stderr)


def _meant(name: str) -> str:
    """Return the known column that another name seems to stand for, or an empty text."""
    plain = name.strip().lower().replace(" ", "_")
    if plain in _OTHER_NAMES:
        return _OTHER_NAMES[plain]
    return next(iter(difflib.get_close_matches(plain, _COLUMNS, 1, 0.75)), "")


def _matched_lines(
    path: Path, table: Sequence[dict[str, str]], names: RecordNames
) -> tuple[list[_Line], dict[str, Any]]:
    """Return the lines about recordings, and the others as a note."""
    # Floors are taken per template; without a column, questions of the same words are one template.
    texts = sorted({cells["question"] for cells in table})
    templates = {text: number for number, text in enumerate(texts)}
    lines, unmatched = [], []
    for number, cells in enumerate(table, 2):
        record_id = names.find(cells["record_id"])
        if record_id is None:
            unmatched.append(
                f"line {number}: {cells['record_id']} ({names.why_not(cells['record_id'])})"
            )
            continue
        lines.append(_line(f"{path} line {number}", number, cells, record_id, templates))
    if not unmatched:
        return lines, {}
    said = (
        f"{len(unmatched)} of the {len(table)} questions of {path} name no recording: "
        f"{'; '.join(unmatched[:_EXAMPLES])}; recordings are called "
        f"{', '.join(sorted(names.record_ids)[:_EXAMPLES])}"
    )
    if not lines:
        raise ManifestError(f"{said}; none of them names a usable record: compare the ids")
    if len(unmatched) > MOST_UNMATCHED * len(table):
        raise ManifestError(
            f"{said}; more than {MOST_UNMATCHED:.0%} of them: correct the ids, or take these lines "
            "out of the table"
        )
    print(f"{said}; meta.json lists all as questions_of_no_record", file=sys.stderr)
    return lines, {"questions_of_no_record": unmatched}


def _line(
    where: str, number: int, cells: dict[str, str], record_id: str, templates: dict[str, int]
) -> _Line:
    if not cells["question"].strip():
        raise ManifestError(f"{where}: the question is empty; complete or remove the line")
    options = _names(cells.get("options") or "")
    answer = _names(cells["answer"])
    if not answer or (len(answer) == 1 and answer[0].lower() in _NO_ANSWER and not options):
        raise ManifestError(
            f"{where}: the answer is {cells['answer']!r}; write {EMPTY_ANSWER} where nothing "
            "applies, or remove the line"
        )
    template = whole_number(cells.get("template_id") or "")
    try:
        template_id = int(template) if template else templates[cells["question"]]
    except ValueError as error:
        raise ManifestError(f"{where}: template_id is not an integer") from error
    return _Line(number, cells, record_id, canonical_answer(answer), options, template_id)


def _names(cell: str) -> list[str]:
    return [name.strip() for name in cell.split(";") if name.strip()]


def _types_of_templates(lines: Iterable[_Line]) -> dict[int, str]:
    """Return the type of the questions of each template, for lines that do not say it.

    One type for a template: a type that followed the single answer would tell something of it.
    """
    members: dict[int, list[_Line]] = {}
    for line in lines:
        members.setdefault(line.template_id, []).append(line)
    return {template_id: _type_of(found) for template_id, found in members.items()}


def _type_of(lines: Sequence[_Line]) -> str:
    if not all(line.options for line in lines):
        return SINGLE_QUERY
    if all({name.lower() for name in line.options} == {"yes", "no"} for line in lines):
        return SINGLE_VERIFY if all(len(line.answer) == 1 for line in lines) else SINGLE_QUERY
    return SINGLE_CHOOSE if all(map(_is_choice, lines)) else SINGLE_QUERY


def _is_choice(line: _Line) -> bool:
    """Return whether the answer is one option, none, or all of them."""
    names = {name for name in line.options if name != EMPTY_ANSWER}
    return len(line.answer) == 1 or set(line.answer) == names


def _check_answers(path: Path, lines: Sequence[_Line], types: dict[int, str]) -> None:
    """Refuse answers that no choice among the options could ever give."""
    wrong = []
    for line in lines:
        question_type = line.cells.get("question_type") or types[line.template_id]
        allowed = set(line.options)
        if not question_type.endswith("verify"):
            allowed.add(EMPTY_ANSWER)
        if line.options and not allowed.issuperset(line.answer):
            wrong.append(line)
    if wrong:
        line = wrong[0]
        raise ManifestError(
            f"{path} line {line.number}: the answer {'; '.join(line.answer)!r} is not among the "
            f"options {'; '.join(line.options)!r} (names separated by ;), as are the answers of "
            f"{len(wrong)} lines in all; correct the answer or the options"
        )


def _question(line: _Line, row: RecordRow, question_type: str) -> Question:
    cells = line.cells
    return Question(
        id=cells.get("id") or f"own-{line.number - 2:07d}",
        question=cells["question"],
        answer=line.answer,
        question_type=cells.get("question_type") or question_type,
        record_ids=[row.record_id],
        patient_ids=[row.patient_id],
        template_id=line.template_id,
        options=line.options or None,
        origin="own",
    )
