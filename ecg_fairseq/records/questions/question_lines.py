"""The lines of ``{split}.jsonl``: all checked when the file is opened, none kept as an object.

Most questions of a dataset differ in nothing but their number and the recordings they ask about.
What such lines have in common is parsed and checked once; the rest of them is cut out where they
are in the form in which questions are written here (``question_marks.py``). Any other line is
parsed by itself.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.questions.question import ORIGINS, Question, field_names
from ecg_fairseq.records.questions.question_marks import QuestionMarks, find_marks
from ecg_fairseq.records.readers.text_column import TextColumn
from ecg_fairseq.records.readers.text_lines import blocks_of_lines, places_of

_ABOUT = ("id", "record_ids", "patient_ids")
_MOST_CONTENTS = 1 << 16
_FEW_LINES = 256
_NEWLINE = 10


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
            reader.read(content, number, base)
            base += len(content)
    columns = reader.columns()
    first = columns.ids.first_places()
    for place in np.flatnonzero(first != np.arange(len(first)))[:1]:
        raise ManifestError(f"{path}: question id {columns.ids.text(place)!r} occurs twice")
    return columns


@dataclass
class _Chunk:
    """Some questions, before they are packed."""

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
        # Content of a line -> place of the first question with it; such a place -> its origin.
        self._known: dict[tuple[bytes, bytes], int] = {}
        self._origins: dict[int, int] = {}
        self._count = 0

    def read(self, content: np.ndarray, number: int, base: int) -> None:
        """Read whole lines.

        Args:
            content: uint8.
            number: of the first line in the file, from 1.
            base: place of ``content`` in the file.
        """
        block = content.tobytes()
        self._check_text(block, number)
        marks = find_marks(block, content)
        alike = None if marks is None else self._alike(block, marks)
        if marks is None or alike is None:
            # A line in another form costs its neighbors the quick way, not the whole block.
            cut = block.find(b"\n", len(block) // 2) + 1
            if cut and block.count(b"\n") > _FEW_LINES:
                self.read(content[:cut], number, base)
                self.read(content[cut:], number + block.count(b"\n", 0, cut), base + cut)
            else:
                self._read_one_by_one(content, block.decode().split("\n"), number, base)
            return
        self._count += len(alike)
        places = np.array(alike, dtype=np.int64)
        origins = np.array([self._origins[place] for place in alike], dtype=np.int8)
        columns = (marks.ids, marks.record_ids, marks.patient_ids)
        lines = (marks.starts + base, marks.ends + base)
        self._packed.append((*lines, *columns, marks.counts, places, origins))

    def _alike(self, block: bytes, marks: QuestionMarks) -> list[int] | None:
        """Return the place of the first question with the content of each line.

        None when a content is not as it is written here; it may have an error then.
        """
        found = []
        bounds = zip(*(part.tolist() for part in (*marks.before, *marks.after)), strict=True)
        known = self._known
        for place, (start, stop, begin, end) in enumerate(bounds, self._count):
            content = block[start:stop], block[begin:end]
            first = known.get(content)
            if first is None and (first := self._learn(content, place)) is None:
                return None
            found.append(first)
        return found

    def _read_one_by_one(
        self, content: np.ndarray, lines: list[str], number: int, base: int
    ) -> None:
        """Read lines of any form; see :meth:`read`."""
        ends = places_of(content, _NEWLINE).astype(np.int64)
        if len(lines) == len(ends) + 1:
            ends = np.append(ends, len(content))
        starts = np.append(0, ends[:-1] + 1)
        is_filled = np.ones(len(lines), dtype=bool)
        for place, line in enumerate(lines):
            is_filled[place] = bool(line.strip())
            if is_filled[place]:
                self._add(line, number + place)
        self._pack(starts[is_filled] + base, ends[is_filled] + base)

    def _check_text(self, block: bytes, number: int) -> None:
        if block.isascii():
            return
        try:
            block.decode("utf-8")
        except UnicodeDecodeError as error:
            number += block.count(b"\n", 0, error.start)
            raise self._not_json(number, error) from error

    def _not_json(self, number: int, error: Exception) -> ManifestError:
        return ManifestError(f"{self.path} cannot be read as JSON lines: line {number}: {error}")

    def _add(self, line: str, number: int) -> None:
        """Take a line of any form; ManifestError when it is not a question."""
        try:
            parsed = json.loads(line)
            question = Question.from_dict(parsed, f"{self.path} line {number}")
        except (ValueError, RecursionError) as error:
            raise self._not_json(number, error) from error
        rest = {name: value for name, value in parsed.items() if name not in _ABOUT}
        content = json.dumps(rest).encode(), b""
        if content not in self._known:
            self._remember(content, self._count, question)
        self._keep(question, self._known.get(content, self._count))

    def _learn(self, content: tuple[bytes, bytes], place: int) -> int | None:
        """Check what questions have in common; None when it is not as it is written here.

        The two parts are one object when they stand together. Only flat ones are taken: then the
        place between them is between two of its members, and further members may stand there.

        Args:
            content: what stands before and behind the recordings.
            place: of the question.
        """
        before, after = (part.decode("utf-8") for part in content)
        try:
            parsed = json.loads(f"{{{before}, {after}}}")
            if not set(parsed) <= _CONTENT:
                return None
            about = {"id": "", "record_ids": [""], "patient_ids": [""]}
            question = Question.from_dict({**parsed, **about})
        except (ValueError, RecursionError, ManifestError):
            return None
        self._remember(content, place, question)
        return place

    def _remember(self, content: tuple[bytes, bytes], place: int, question: Question) -> None:
        self._origins[place] = ORIGINS.index(question.origin)
        if len(self._known) < _MOST_CONTENTS:
            self._known[content] = place

    def _keep(self, question: Question, alike: int) -> None:
        chunk = self._chunk
        self._count += 1
        chunk.ids.append(question.id)
        chunk.records += question.record_ids
        chunk.patients += question.patient_ids
        chunk.counts.append(len(question.record_ids))
        chunk.alike.append(alike)
        chunk.origins.append(self._origins[alike])

    def _pack(self, starts: np.ndarray, ends: np.ndarray) -> None:
        """Turn what was collected into arrays; places of the lines in the file, int64."""
        chunk, self._chunk = self._chunk, _Chunk()
        self._packed.append(
            (
                *(starts, ends),
                *map(TextColumn.of_texts, (chunk.ids, chunk.records, chunk.patients)),
                np.array(chunk.counts, dtype=np.int64),
                np.array(chunk.alike, dtype=np.int64),
                np.array(chunk.origins, dtype=np.int8),
            )
        )

    def columns(self) -> QuestionColumns:
        """Return what was read."""
        self._pack(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
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
