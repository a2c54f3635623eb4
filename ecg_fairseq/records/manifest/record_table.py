"""``records.tsv``: one line a record, checked whole when opened, parsed when a record is asked for.

A manifest of 800,000 records would take seconds and gigabytes as objects. Here its text stays
mapped, and what is kept of a line is its record id and where it begins.
"""

import mmap
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.record_row import COLUMNS, RecordRow

# Parsed lines that are kept, for tables that are asked about the same records again and again.
_MOST_KEPT = 50_000


class RecordTable(Mapping[str, RecordRow]):
    """Record id -> line of ``records.tsv``, in file order; read-only.

    Attributes:
        path: the file.
        end: number of store rows that the usable records reach to.
    """

    def __init__(self, path: Path):
        """Use :meth:`open`."""
        self.path = path
        self.end = 0
        self._lines: dict[str, int] = {}
        self._starts = array("q")
        self._parsed: dict[str, RecordRow] = {}
        self._text: mmap.mmap | bytes = _map(path)

    @classmethod
    def open(cls, path: Path) -> "RecordTable":
        """Check every line of a table.

        Raises:
            ManifestError: it is missing or damaged; file and line are named.
        """
        try:
            table = cls(path)
            table._check_lines()
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(
                f"{path} cannot be read: {error}; make the manifest anew"
            ) from error
        return table

    def _check_lines(self) -> None:
        text, lines, starts = self._text, self._lines, self._starts
        header = bytes(text[: text.find(b"\n")]).decode("utf-8").split("\t")
        if tuple(header) != COLUMNS:
            raise ManifestError(f"{self.path} starts with columns {header}; make the manifest anew")
        start, number = text.find(b"\n") + 1, 1
        while start < len(text):
            number += 1
            stop = text.find(b"\n", start)
            stop = len(text) if stop < 0 else stop
            where = f"{self.path} line {number}"
            name, end = _check_line(bytes(text[start:stop]).decode("utf-8"), where)
            if name in lines:
                raise ManifestError(f"{where}: {name} occurs twice")
            lines[name] = len(starts)
            starts.append(start)
            self.end = max(self.end, end)
            start = stop + 1
        starts.append(start)

    def check_reach(self, num_rows: int) -> None:
        """Refuse a table whose records reach beyond the store's ``num_rows``."""
        if self.end > num_rows:
            raise ManifestError(
                f"{self.path.parent}: records.tsv reaches to row {self.end}, the store has "
                f"{num_rows}; make the manifest anew"
            )

    def __getitem__(self, record_id: str) -> RecordRow:
        """Return a record's line; KeyError if there is none."""
        row = self._parsed.get(record_id)
        if row is None:
            number = self._lines[record_id]
            start, stop = self._starts[number], self._starts[number + 1] - 1
            line = bytes(self._text[start:stop]).decode("utf-8")
            row = RecordRow.from_line(line, f"{self.path} line {number + 2}")
            if len(self._parsed) < _MOST_KEPT:
                self._parsed[record_id] = row
        return row

    def __iter__(self) -> Iterator[str]:
        """Yield the record ids in file order."""
        return iter(self._lines)

    def __len__(self) -> int:
        """Return the number of records, skipped ones included."""
        return len(self._lines)

    def __contains__(self, record_id: object) -> bool:
        """Say whether there is a record of that id."""
        return record_id in self._lines

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped file behind: another process maps it itself."""
        return {**self.__dict__, "_text": b"", "_parsed": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the file again; ManifestError when it was rewritten meanwhile."""
        self.__dict__.update(state)
        self._text = _map(self.path)
        if len(self._text) not in (self._starts[-1], self._starts[-1] - 1):
            raise ManifestError(f"{self.path} was rewritten; open the manifest again")


def _map(path: Path) -> mmap.mmap | bytes:
    with open(path, "rb") as stream:
        # An empty file cannot be mapped.
        is_empty = not stream.read(1)
        return b"" if is_empty else mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _check_line(line: str, where: str) -> tuple[str, int]:
    """Return (record id, store row after its last) of a line that RecordRow can parse."""
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        raise ManifestError(f"{where}: {len(cells)} columns, expected {len(COLUMNS)}")
    try:
        float(cells[3] or 0), float(cells[5])
        end = int(cells[11]) + int(cells[12])
    except ValueError as error:
        raise ManifestError(f"{where}: {error}; make the manifest anew") from error
    return cells[0], end if cells[9] == "ok" else 0
