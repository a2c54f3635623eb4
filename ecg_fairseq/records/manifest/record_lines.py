"""The lines of ``records.tsv``, checked a few megabytes at a time with numpy.

Lines as they are written here pass without an object for any of them. A line in any other form is
parsed by itself: Python's rules decide what is a number, and its error names file and line.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.readers.text_column import TextColumn
from ecg_fairseq.records.readers.text_lines import (
    blocks_of_lines,
    parse_integers,
    places_of,
    text_keys,
)
from ecg_fairseq.records.record_row import COLUMNS, SPLITS

_NEWLINE, _TAB, _LAST_ASCII = 10, 9, 127
_OK = "ok"
_AGE, _RATE = COLUMNS.index("age"), COLUMNS.index("fs_hz")
_SPLIT, _STATUS = COLUMNS.index("split"), COLUMNS.index("status")
_FIRST_ROW, _NUM_SEGMENTS = COLUMNS.index("first_row"), COLUMNS.index("num_segments")


@dataclass(frozen=True, eq=False)
class Columns:
    """What is kept of the N lines; ``starts`` int64 (N + 1): where each begins, and the end."""

    record_ids: TextColumn
    patient_ids: TextColumn
    splits: tuple[str, ...]
    split_numbers: np.ndarray
    is_ok: np.ndarray
    fs_hz: np.ndarray
    first_rows: np.ndarray
    num_segments: np.ndarray
    starts: np.ndarray


def read_columns(path: Path) -> Columns:
    """Check a table line by line and return its columns.

    Raises:
        ManifestError: a line is damaged; file and line are named.
        OSError: it is missing.
        UnicodeDecodeError: it is not text.
    """
    parts, base, is_ended = [], 0, True
    names: dict[str, int] = {name: number for number, name in enumerate(("", *SPLITS))}
    has_header = False
    for content, number in blocks_of_lines(path):
        starts, ends = _bounds(content)
        if number == 1:
            _check_header(path, content[: ends[0]].tobytes())
            starts, ends, number = starts[1:], ends[1:], 2
            has_header = True
        if len(starts):
            parts.append(_block(path, content, (starts, ends), number, base, names))
        base += len(content)
        is_ended = content[-1] == _NEWLINE
    if not has_header:
        _check_header(path, b"")
    return _joined(parts, tuple(names), base + (not is_ended))


def _bounds(content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return start and end of every line, int (N,); only ``\\n`` ends one, as it is written."""
    ends = places_of(content, _NEWLINE)
    if len(content) and content[-1] != _NEWLINE:
        ends = np.append(ends, ends.dtype.type(len(content)))
    starts = np.zeros_like(ends)
    starts[1:] = ends[:-1] + 1
    return starts, ends


def _check_header(path: Path, line: bytes) -> None:
    header = line.decode("utf-8").split("\t")
    if tuple(header) != COLUMNS:
        what = "" if line else " (it is empty)"
        raise ManifestError(f"{path} starts with columns {header}{what}; make the manifest anew")


def _block(
    path: Path,
    content: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    number: int,
    base: int,
    names: dict[str, int],
) -> Columns:
    """Return the columns of some lines.

    Args:
        path: for messages.
        content: uint8.
        bounds: start and end of each line in ``content``, int (N,).
        number: of the first line in the file, from 1.
        base: place of ``content`` in the file.
        names: splits seen so far, name -> number; new ones are added.
    """
    starts, ends = bounds
    tabs = places_of(content, _TAB)
    low = np.searchsorted(tabs, starts)
    is_plain = np.searchsorted(tabs, ends) - low == len(COLUMNS) - 1
    is_text = _is_utf8(content)
    if not (is_plain.all() and is_text):
        for line in range(len(starts)) if not is_text else np.flatnonzero(~is_plain):
            check_line(content[starts[line] : ends[line]], f"{path} line {number + line}")
    # Field after field: from one tab to the next.
    begins = np.stack([starts, *(tabs[low + n] + 1 for n in range(len(COLUMNS) - 1))])
    closes = np.stack([*(tabs[low + n] for n in range(len(COLUMNS) - 1)), ends])
    first_rows, is_row = parse_integers(content, begins[_FIRST_ROW], closes[_FIRST_ROW])
    counts, is_count = parse_integers(content, begins[_NUM_SEGMENTS], closes[_NUM_SEGMENTS])
    _, is_age = _floats(content, begins[_AGE], closes[_AGE], "0")
    rates, is_rate = _floats(content, begins[_RATE], closes[_RATE], "")
    for line in np.flatnonzero(~(is_row & is_count & is_age & is_rate)):
        where = f"{path} line {number + line}"
        first_rows[line], counts[line] = check_line(content[starts[line] : ends[line]], where)
    statuses = list(_distinct(content, begins[_STATUS], closes[_STATUS]))
    is_ok = np.zeros(len(starts), dtype=bool)
    for text, chosen in statuses:
        is_ok[chosen] = text == _OK
    split_numbers = np.empty(len(starts), dtype=np.int32)
    for text, chosen in _distinct(content, begins[_SPLIT], closes[_SPLIT]):
        split_numbers[chosen] = names.setdefault(text, len(names))
    return Columns(
        TextColumn.cut_from(content, begins[0], closes[0]),
        TextColumn.cut_from(content, begins[1], closes[1]),
        (),
        split_numbers,
        is_ok,
        rates,
        first_rows,
        counts,
        starts.astype(np.int64) + base,
    )


def check_line(line: np.ndarray, where: str) -> tuple[int, int]:
    """Return first row and number of segments of a line that ``RecordRow`` can parse.

    Raises:
        ManifestError: it cannot; the message starts with ``where``.
        UnicodeDecodeError: it is not text.
    """
    cells = line.tobytes().decode("utf-8").split("\t")
    if len(cells) != len(COLUMNS):
        raise ManifestError(
            f"{where}: {len(cells)} columns, expected {len(COLUMNS)}; make the manifest anew"
        )
    for column, kind in ((_AGE, float), (_RATE, float), (_FIRST_ROW, int), (_NUM_SEGMENTS, int)):
        try:
            kind(cells[column] or ("0" if column == _AGE else ""))
        except ValueError as error:
            what = "whole number" if kind is int else "number"
            raise ManifestError(
                f"{where}: {error}: {COLUMNS[column]} is not a {what}; make the manifest anew"
            ) from error
    return int(cells[_FIRST_ROW]), int(cells[_NUM_SEGMENTS])


def _is_utf8(content: np.ndarray) -> bool:
    if int(content.max(initial=0)) <= _LAST_ASCII:
        return True
    try:
        content.tobytes().decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _distinct(
    content: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each different text and the lines that hold it, bool (N,), in order of appearance."""
    _, first, which = np.unique(
        text_keys(content, starts, ends), return_index=True, return_inverse=True
    )
    for number in np.argsort(first):
        line = first[number]
        yield content[starts[line] : ends[line]].tobytes().decode("utf-8"), which == number


def _floats(
    content: np.ndarray, starts: np.ndarray, ends: np.ndarray, empty: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of a field, float64 (N,), NaN where there is none, and which are numbers.

    Args:
        content: uint8.
        starts, ends: int (N,), the place of each text.
        empty: what an empty field stands for.
    """
    _, first, which = np.unique(
        text_keys(content, starts, ends), return_index=True, return_inverse=True
    )
    values, is_number = np.full(len(first), np.nan), np.zeros(len(first), dtype=bool)
    for number, line in enumerate(first.tolist()):
        text = content[starts[line] : ends[line]].tobytes().decode("utf-8")
        try:
            values[number] = float(text or empty)
            is_number[number] = True
        except ValueError:
            continue
    return values[which], is_number[which]


def _joined(parts: list[Columns], splits: tuple[str, ...], end: int) -> Columns:
    """Put the columns of all blocks together; ``end``: the place behind the last line's end."""

    def whole(name: str, kind: type) -> np.ndarray:
        return np.concatenate([np.empty(0, kind), *(getattr(part, name) for part in parts)])

    return Columns(
        TextColumn.joined([part.record_ids for part in parts]),
        TextColumn.joined([part.patient_ids for part in parts]),
        splits,
        whole("split_numbers", np.int32),
        whole("is_ok", bool),
        whole("fs_hz", np.float64),
        whole("first_rows", np.int64),
        whole("num_segments", np.int64),
        np.append(whole("starts", np.int64), end),
    )
