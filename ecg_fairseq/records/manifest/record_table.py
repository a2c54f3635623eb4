"""``records.tsv``: one line a record, checked whole when opened, parsed when a record is asked for.

The one reader of that file. A manifest of a million records would take seconds and gigabytes as
objects. Here its lines stay in the file; what is kept of each are its ids and, as flat arrays, what
is asked about all records at once.
"""

import functools
import itertools
import mmap
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.record_lines import Columns, read_columns
from ecg_fairseq.records.readers.text_column import TextColumn, TextIndex
from ecg_fairseq.records.record_row import RecordRow

# Parsed lines that are kept, for tables that are asked about the same records again and again.
_MOST_KEPT = 50_000


class RecordTable(Mapping[str, RecordRow]):
    """Record id -> line of ``records.tsv``, in file order; read-only.

    Attributes:
        path: the file.
        record_ids, patient_ids: of the N records.
        splits: names of splits that occur, the empty one for records that are on none among them.
        split_numbers: int32 (N,), places in ``splits``.
        is_ok: bool (N,), whether a record can be used.
        fs_hz: float64 (N,).
        first_rows, num_segments: int64 (N,), rows of the store.
    """

    def __init__(self, path: Path, columns: Columns, text: mmap.mmap | bytes):
        """Use :meth:`open`."""
        self.path = path
        self.record_ids = columns.record_ids
        self.patient_ids = columns.patient_ids
        self.splits = columns.splits
        self.split_numbers = columns.split_numbers
        self.is_ok = columns.is_ok
        self.fs_hz = columns.fs_hz
        self.first_rows = columns.first_rows
        self.num_segments = columns.num_segments
        self._starts = columns.starts
        self._index = TextIndex(columns.record_ids)
        self._parsed: dict[str, RecordRow] = {}
        self._text = text

    @classmethod
    def open(cls, path: Path) -> "RecordTable":
        """Check every line of a table.

        Raises:
            ManifestError: it is missing or damaged; file and line are named.
        """
        try:
            columns = read_columns(path)
            table = cls(path, columns, _map(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(
                f"{path} cannot be read: {error}; make the manifest anew"
            ) from error
        table._refuse_doubles()
        return table

    @classmethod
    def shared(cls, path: Path) -> "RecordTable":
        """Return the table of a file, read once in a process while the file stays the same.

        Raises:
            ManifestError: see :meth:`open`.
        """
        try:
            facts = path.stat()
        except OSError as error:
            raise ManifestError(
                f"{path} cannot be read: {error}; make the manifest anew"
            ) from error
        return _opened(path, facts.st_mtime_ns, facts.st_size)

    def _refuse_doubles(self) -> None:
        first = self.record_ids.first_places()
        for line in np.flatnonzero(first != np.arange(len(first)))[:1]:
            name = self.record_ids.text(line)
            raise ManifestError(f"{self.path} line {line + 2}: {name} occurs twice")

    @property
    def end(self) -> int:
        """Number of store rows that the usable records reach to."""
        ends = self.first_rows + self.num_segments
        return int(ends[self.is_ok].max(initial=0))

    def check_reach(self, num_rows: int) -> None:
        """Refuse a table whose records reach beyond the store's ``num_rows``."""
        if self.end > num_rows:
            raise ManifestError(
                f"{self.path.parent}: records.tsv reaches to row {self.end}, the store has "
                f"{num_rows}; make the manifest anew"
            )

    def is_on(self, split: str, numbers: np.ndarray | None = None) -> np.ndarray:
        """Return which records are usable and on a split, bool (N,).

        Args:
            split: its name.
            numbers: int (M,): of these records only; -1 stands for a record that is not here.
        """
        is_here = self.is_ok & (self.split_numbers == self.split_number(split))
        return is_here if numbers is None else np.append(is_here, False)[numbers]

    def split_number(self, split: str) -> int:
        """Return a split's place in ``splits``, -1 if no record names it."""
        return self.splits.index(split) if split in self.splits else -1

    def lines_of(self, record_ids: TextColumn) -> np.ndarray:
        """Return the number of each record, int64 (M,), from 0; -1 for one that is not here."""
        return self._index.find(record_ids)

    def row(self, number: int) -> RecordRow:
        """Return the line of a record by its number, from 0."""
        start, stop = self._starts[number], self._starts[number + 1] - 1
        line = bytes(self._text[start:stop]).decode("utf-8")
        return RecordRow.from_line(line, f"{self.path} line {number + 2}")

    def cells(self, numbers: np.ndarray, column: int) -> Iterator[str]:
        """Yield the text of one column of some records, by their numbers."""
        starts, ends = self._starts[numbers], self._starts[numbers + 1] - 1
        for start, stop in zip(starts.tolist(), ends.tolist(), strict=True):
            line = self._text[start:stop].split(b"\t", column + 1)
            yield line[column].decode("utf-8")

    def first_cells(self, count: int) -> Iterator[list[bytes]]:
        """Yield the first cells of each line, as they stand in the file."""
        starts = self._starts.tolist()
        for start, stop in itertools.pairwise(starts):
            yield self._text[start : stop - 1].split(b"\t", count)[:count]

    def __getitem__(self, record_id: str) -> RecordRow:
        """Return a record's line; KeyError if there is none."""
        row = self._parsed.get(record_id)
        if row is None:
            number = self._index.place(record_id) if isinstance(record_id, str) else -1
            if number < 0:
                raise KeyError(record_id)
            row = self.row(number)
            if len(self._parsed) < _MOST_KEPT:
                self._parsed[record_id] = row
        return row

    def __iter__(self) -> Iterator[str]:
        """Yield the record ids in file order."""
        return self.record_ids.texts()

    def __len__(self) -> int:
        """Return the number of records, skipped ones included."""
        return len(self.record_ids)

    def __contains__(self, record_id: object) -> bool:
        """Say whether there is a record of that id."""
        return isinstance(record_id, str) and self._index.place(record_id) >= 0

    def values(self) -> ValuesView[RecordRow]:
        """Return the lines, parsed one after another without looking any up."""
        return _Rows(self)

    def items(self) -> ItemsView[str, RecordRow]:
        """Return ids and lines, parsed one after another without looking any up."""
        return _RowsWithIds(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave all but the path behind: another process reads the file itself."""
        return {"path": self.path, "num_bytes": len(self._text)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read the file again; ManifestError when it was rewritten meanwhile."""
        again = RecordTable.open(state["path"])
        if len(again._text) != state["num_bytes"]:
            raise ManifestError(f"{state['path']} was rewritten; open the manifest again")
        self.__dict__.update(again.__dict__)


@functools.lru_cache(maxsize=2)
def _opened(path: Path, changed: int, size: int) -> RecordTable:
    """Open a table; the time of change and the size are there to notice another file."""
    return RecordTable.open(path)


class _Rows(ValuesView[RecordRow]):
    _mapping: RecordTable

    def __iter__(self) -> Iterator[RecordRow]:
        return map(self._mapping.row, range(len(self._mapping)))


class _RowsWithIds(ItemsView[str, RecordRow]):
    _mapping: RecordTable

    def __iter__(self) -> Iterator[tuple[str, RecordRow]]:
        return ((row.record_id, row) for row in self._mapping.values())


def _map(path: Path) -> mmap.mmap | bytes:
    with open(path, "rb") as stream:
        # An empty file cannot be mapped.
        is_empty = not stream.read(1)
        return b"" if is_empty else mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
