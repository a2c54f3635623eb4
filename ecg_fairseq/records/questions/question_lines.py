"""The lines of ``{split}.jsonl``: all checked when the file is opened, none kept as an object.

Most questions of a dataset differ in nothing but their number and the recordings they ask about.
What such lines have in common is parsed and checked once; the rest of them is cut out by a pattern
that takes the form in which questions are written here. Any other line is parsed by itself. Where
every line of a block has that form the compiled core cuts them, to the same columns.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.questions.question import ORIGINS, Question, field_names
from ecg_fairseq.records.readers.text_column import TextColumn
from ecg_fairseq.records.readers.text_lines import blocks_of_lines, line_bounds, places_of
from ecg_fairseq.signal.compiled import compiled_core

# What stands between the parts of a line as it is written here.
_ID, _QUESTION, _RECORDS = '{"id": "', '", "question": ', ', "record_ids": ["'
_PATIENTS, _TEMPLATE, _END = '"], "patient_ids": ["', '"], "template_id": ', "}"
_NEXT = '", "'
# Letters of a mark that close what stands before it.
_CLOSE_NAME, _CLOSE_LIST = len('", '), len('"], ')
_ABOUT = ("id", "record_ids", "patient_ids")
# The same for the compiled core.
_FORM = (
    _ID.encode(),
    [mark.encode() for mark in (_QUESTION, _RECORDS, _PATIENTS, _TEMPLATE)],
    _END.encode(),
    _NEXT.encode(),
    [_CLOSE_NAME, _CLOSE_LIST],
)
_MOST_CONTENTS = 1 << 16
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
        # Content of a line -> (place of the first question with it, its origin).
        self._known: dict[tuple[str, str], tuple[int, int]] = {}
        # The same by the number of the first line for which the compiled core found the content.
        self._learned: dict[int, tuple[int, int]] = {}
        core = compiled_core()
        self._cutter = None if core is None else core.AlikeLines(_FORM)
        self._count = 0

    def read(self, content: np.ndarray, number: int, base: int) -> None:
        """Read whole lines.

        Args:
            content: uint8.
            number: of the first line in the file, from 1.
            base: place of ``content`` in the file.
        """
        if self._read_alike(content, base):
            return
        ends = places_of(content, _NEWLINE).astype(np.int64)
        lines = self._decoded(content.tobytes(), number).split("\n")
        if len(lines) == len(ends) + 1:
            ends = np.append(ends, len(content))
        starts = np.append(0, ends[:-1] + 1)
        is_filled = np.ones(len(lines), dtype=bool)
        for place, line in enumerate(lines):
            if not self._add_quickly(line):
                is_filled[place] = bool(line.strip())
                if is_filled[place]:
                    self._add_slowly(line, number + place)
        self._pack(starts[is_filled] + base, ends[is_filled] + base)

    def _read_alike(self, content: np.ndarray, base: int) -> bool:
        """Read lines that all have the form in which questions are written here; say whether."""
        starts, ends = (bounds.astype(np.int64) for bounds in line_bounds(content))
        starts, ends = starts[ends > starts], ends[ends > starts]
        found = self._cutter and self._cutter.cut(content, starts, ends, self._count)
        if not found:
            return False
        names, records, patients, counts, contents, alike = found
        for line in np.flatnonzero(alike == np.arange(len(alike)) + self._count).tolist():
            self._learn_from(content, contents[line], self._count + line)
        firsts, places = np.unique(alike, return_inverse=True)
        # A content that was not learned: some line of it has to be read by itself.
        learned = [self._learned.get(first) for first in firsts.tolist()]
        if None in learned:
            return False
        chosen = np.array(learned, dtype=np.int64).reshape(-1, 2)[places]
        self._count += len(alike)
        texts = (TextColumn.cut_from(content, *part.T) for part in (names, records, patients))
        origins = chosen[:, 1].astype(np.int8)
        self._packed.append((starts + base, ends + base, *texts, counts, chosen[:, 0], origins))
        return True

    def _learn_from(self, content: np.ndarray, places: np.ndarray, number: int) -> None:
        """Check what a line has in common with others, for :meth:`_read_alike`.

        Args:
            content: uint8.
            places: where the two parts of it begin and end.
            number: place of the question at hand among all.
        """
        start, end, then, last = places.tolist()
        try:
            before = content[start:end].tobytes().decode("utf-8")
            after = content[then:last].tobytes().decode("utf-8")
        except UnicodeDecodeError:
            return
        found = self._known.get((before, after)) or self._learn(before, after, number)
        if found is not None:
            self._learned[number] = found

    def _decoded(self, block: bytes, number: int) -> str:
        try:
            return block.decode("utf-8")
        except UnicodeDecodeError as error:
            number += block.count(b"\n", 0, error.start)
            raise self._not_json(number, error) from error

    def _not_json(self, number: int, error: Exception) -> ManifestError:
        return ManifestError(f"{self.path} cannot be read as JSON lines: line {number}: {error}")

    def _add_quickly(self, line: str) -> bool:
        """Take a line that is in the form in which questions are written here; say whether it is.

        A JSON text without quotes, escapes and control characters is its own value.
        """
        # Each mark behind the one before it: they begin and end with the same letters.
        first = line.find(_QUESTION, len(_ID))
        second = line.find(_RECORDS, first + len(_QUESTION))
        third = line.find(_PATIENTS, second + len(_RECORDS))
        fourth = line.find(_TEMPLATE, third + len(_PATIENTS))
        is_there = 0 <= first < second < third < fourth
        if not (is_there and line.startswith(_ID) and line.endswith(_END)):
            return False
        name = line[len(_ID) : first]
        records = line[second + len(_RECORDS) : third]
        patients = line[third + len(_PATIENTS) : fourth]
        about = f"{name}{records}{patients}"
        record_ids, patient_ids = records.split(_NEXT), patients.split(_NEXT)
        num_quotes = 2 * (len(record_ids) + len(patient_ids) - 2)
        if not about.isprintable() or "\\" in about or about.count('"') != num_quotes:
            return False
        before = line[first + _CLOSE_NAME : second]
        after = line[fourth + _CLOSE_LIST : -len(_END)]
        found = self._known.get((before, after)) or self._learn(before, after, self._count)
        if found is None or len(record_ids) != len(patient_ids):
            return False
        self._keep(name, record_ids, patient_ids, *found)
        return True

    def _add_slowly(self, line: str, number: int) -> None:
        """Take a line of any form; ManifestError when it is not a question."""
        try:
            question = Question.from_dict(json.loads(line), f"{self.path} line {number}")
        except (ValueError, RecursionError) as error:
            raise self._not_json(number, error) from error
        origin = ORIGINS.index(question.origin)
        self._keep(question.id, question.record_ids, question.patient_ids, self._count, origin)

    def _learn(self, before: str, after: str, number: int) -> tuple[int, int] | None:
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
        found = (number, ORIGINS.index(question.origin))
        if len(self._known) < _MOST_CONTENTS:
            self._known[before, after] = found
        return found

    def _keep(
        self, name: str, records: list[str], patients: list[str], alike: int, origin: int
    ) -> None:
        chunk = self._chunk
        self._count += 1
        chunk.ids.append(name)
        chunk.records += records
        chunk.patients += patients
        chunk.counts.append(len(records))
        chunk.alike.append(alike)
        chunk.origins.append(origin)

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
