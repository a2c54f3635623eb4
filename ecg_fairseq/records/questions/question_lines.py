"""The lines of ``{split}.jsonl``: all checked when the file is opened, none kept as an object.

Most questions of a dataset differ in nothing but their number and the recordings they ask about.
What such lines have in common is parsed and checked once; the rest of them is cut out by a pattern
that takes the form in which questions are written here. Any other line is parsed by itself.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.questions.question import ORIGINS, Question, field_names
from ecg_fairseq.records.readers.text_column import TextColumn
from ecg_fairseq.records.readers.text_lines import blocks_of_lines

# A JSON text without escapes is its own value.
_TEXT = r'"[^"\\\x00-\x1f]*"'
_TEXTS = rf"\[({_TEXT}(?:, {_TEXT})*)\]"
_LINE = re.compile(
    rf'\{{"id": ({_TEXT}), ("question": [^\n]*?), "record_ids": {_TEXTS}, '
    rf'"patient_ids": {_TEXTS}, ("template_id": [^\n]*)\}}'
)
_ABOUT = ("id", "record_ids", "patient_ids")
_MOST_CONTENTS = 1 << 16
_LINES_AT_A_TIME = 1 << 16


@dataclass(frozen=True, eq=False)
class QuestionColumns:
    """What is kept of N questions.

    Attributes:
        starts, ends: int64 (N,), the place of each line in the file.
        ids: of the questions.
        record_ids, patient_ids: of all recordings asked about, question after question.
        first_records: int64 (N + 1), where the recordings of each question begin.
        alike: int64 (N,), place of the first question known to differ in nothing but its id and its
            recordings; its own where there is none.
        origins: int8 (N,), places in ``ORIGINS``.
    """

    starts: np.ndarray
    ends: np.ndarray
    ids: TextColumn
    record_ids: TextColumn
    patient_ids: TextColumn
    first_records: np.ndarray
    alike: np.ndarray
    origins: np.ndarray


def read_question_columns(path: Path) -> QuestionColumns:
    """Check a file line by line; a missing file holds no questions.

    Raises:
        ManifestError: a line is not a valid question, or an id occurs twice.
    """
    reader = _Reader(path)
    if path.exists():
        base = 0
        for content, number in blocks_of_lines(path):
            reader.read(content.tobytes(), number, base)
            base += len(content)
    columns = reader.columns()
    first = columns.ids.first_places()
    for place in np.flatnonzero(first != np.arange(len(first)))[:1]:
        raise ManifestError(f"{path}: question id {columns.ids.text(place)!r} occurs twice")
    return columns


@dataclass
class _Chunk:
    """Some questions, before they are packed."""

    places: list[tuple[int, int]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    alike: list[int] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)


class _Reader:
    """Collects the columns of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._chunk = _Chunk()
        self._packed: list[tuple[Any, ...]] = []
        # Content of a line -> (place of the first question with it, its origin).
        self._known: dict[tuple[str, str], tuple[int, int]] = {}
        self._count = 0

    def read(self, block: bytes, number: int, base: int) -> None:
        """Read whole lines; ``number``: of the first, from 1; ``base``: its place in the file."""
        for start, end in _bounds(block):
            line = self._decoded(block[start:end], number)
            if line.strip():
                self._add(line, number)
                self._chunk.places.append((base + start, base + end))
                self._count += 1
            if len(self._chunk.places) >= _LINES_AT_A_TIME:
                self._pack()
            number += 1

    def _decoded(self, line: bytes, number: int) -> str:
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._not_json(number, error) from error

    def _not_json(self, number: int, error: Exception) -> ManifestError:
        return ManifestError(f"{self.path} cannot be read as JSON lines: line {number}: {error}")

    def _add(self, line: str, number: int) -> None:
        match = _LINE.fullmatch(line.strip(" \t\r\n"))
        if match is not None:
            name, before, records, patients, after = match.groups()
            found = self._known.get((before, after))
            if found is None:
                found = self._learn(before, after)
            record_ids, patient_ids = records[1:-1].split('", "'), patients[1:-1].split('", "')
            if found is not None and len(record_ids) == len(patient_ids):
                self._keep(name[1:-1], record_ids, patient_ids, *found)
                return
        where = f"{self.path} line {number}"
        try:
            question = Question.from_dict(json.loads(line), where)
        except (ValueError, RecursionError) as error:
            raise self._not_json(number, error) from error
        origin = ORIGINS.index(question.origin)
        self._keep(question.id, question.record_ids, question.patient_ids, self._count, origin)

    def _learn(self, before: str, after: str) -> tuple[int, int] | None:
        """Check what questions have in common; None when it is not as it is written here.

        The two parts are one object when they stand together. Only flat ones are taken: then the
        place between them is between two of its members, and further members may stand there.
        """
        try:
            content = json.loads(f"{{{before}, {after}}}")
            if not set(content) <= _CONTENT:
                return None
            about = {"id": "", "record_ids": [""], "patient_ids": [""]}
            question = Question.from_dict({**content, **about})
        except (ValueError, RecursionError, ManifestError):
            return None
        found = (self._count, ORIGINS.index(question.origin))
        if len(self._known) < _MOST_CONTENTS:
            self._known[before, after] = found
        return found

    def _keep(
        self, name: str, records: list[str], patients: list[str], alike: int, origin: int
    ) -> None:
        chunk = self._chunk
        chunk.ids.append(name)
        chunk.records += records
        chunk.patients += patients
        chunk.counts.append(len(records))
        chunk.alike.append(alike)
        chunk.origins.append(origin)

    def _pack(self) -> None:
        chunk, self._chunk = self._chunk, _Chunk()
        places = np.array(chunk.places, dtype=np.int64).reshape(-1, 2)
        self._packed.append(
            (
                *(places[:, 0], places[:, 1]),
                *map(TextColumn.of_texts, (chunk.ids, chunk.records, chunk.patients)),
                np.array(chunk.counts, dtype=np.int64),
                np.array(chunk.alike, dtype=np.int64),
                np.array(chunk.origins, dtype=np.int8),
            )
        )

    def columns(self) -> QuestionColumns:
        """Return what was read."""
        self._pack()
        starts, ends, ids, records, patients, counts, alike, origins = zip(
            *self._packed, strict=True
        )
        counted = np.concatenate(counts)
        return QuestionColumns(
            np.concatenate(starts),
            np.concatenate(ends),
            TextColumn.joined(ids),
            TextColumn.joined(records),
            TextColumn.joined(patients),
            np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counted)]),
            np.concatenate(alike),
            np.concatenate(origins),
        )


_CONTENT = frozenset(field_names()) - set(_ABOUT)


def _bounds(block: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of every line, without its end."""
    start = 0
    while start < len(block):
        end = block.find(b"\n", start)
        end = len(block) if end < 0 else end
        yield start, end
        start = end + 1
