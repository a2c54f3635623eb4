"""Recordings as CSV: one line a sample, one column a lead, values in mV.

The first line names the leads; without it the names come from a sidecar ``NAME.json``. The rate
comes from the sidecar or from a first column ``time``: see csv_columns, also for units.
Empty cells and ``nan`` become NaN. Separators: comma, semicolon or tab.
"""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.array_checks import (
    check_shape,
    read_bounded,
    read_sidecar,
    signed_leads,
    to_float32,
)
from ecg_fairseq.records.readers.csv_columns import columns_of, names_mostly_leads, rate_of
from ecg_fairseq.records.readers.wfdb_header import check_rate
from ecg_fairseq.records.record import EcgRecord, Origin, named_record

MAX_BYTES = 1 << 30
SNIFF_BYTES = 4096
_SEPARATORS = (",", ";", "\t")
_MISSING = ("", "na", "nan", "null", "none", "-", "?")
_MOST_CELLS = 300


def is_csv(start: bytes) -> bool:
    """Say whether a file that begins with ``start`` has a line of lead names or of numbers."""
    cells = _first_cells(start)
    return bool(cells) and (_is_header(cells) or _are_numbers(cells))


def names_leads(start: bytes) -> bool:
    """Say whether a file that begins with ``start`` is CSV whose first line names leads."""
    cells = _first_cells(start)
    return bool(cells) and _is_header(cells)


def _first_cells(start: bytes) -> list[str]:
    """Return the cells of the first line with content; none when it cannot be a recording's."""
    if b"\0" in start:
        return []
    text = start.decode("utf-8-sig", errors="replace")
    line = next((line for line in text.splitlines() if line.strip()), "")
    cells = _cells(line) if line else []
    return cells if len(cells) <= _MOST_CELLS else []


def _cells(line: str) -> list[str]:
    separator = next((mark for mark in _SEPARATORS if mark in line), ",")
    return [cell.strip().strip('"').strip() for cell in line.split(separator)]


def _is_header(cells: list[str]) -> bool:
    """Say whether a line is that of a recording; single columns in it may be no leads."""
    if _are_numbers(cells):
        return False
    try:
        return bool(columns_of(cells).leads)
    except RecordError:
        return names_mostly_leads(cells)


def _are_numbers(cells: list[str]) -> bool:
    for cell in cells:
        try:
            _number(cell)
        except ValueError:
            return False
    return True


def _number(cell: str) -> float:
    text = cell.strip().strip('"').strip()
    return float("nan") if text.lower() in _MISSING else float(text)


def read_csv(path: Path, record_id: str | None = None, patient_id: str | None = None) -> EcgRecord:
    """Read a CSV array.

    Raises:
        RecordError: lines of different lengths, texts between the numbers, no lead names, no rate,
            or names and columns that do not fit together.
    """
    content = read_bounded(path, MAX_BYTES, "CSV file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path} is not UTF-8 text: {error}; save it as CSV again") from error
    del content
    stream = io.StringIO(text, newline=None)
    line = next((line for line in stream if line.strip()), "")
    cells = _cells(line)
    has_header = _is_header(cells)
    if not has_header and not _are_numbers(cells):
        raise RecordError(f"{path} begins with {line[:60].strip()!r}; expected names of leads")
    if len(cells) > _MOST_CELLS:
        raise RecordError(
            f"{path} has {len(cells)} columns; expected one a lead, one line a sample"
        )
    separator = next((mark for mark in _SEPARATORS if mark in line), ",")
    if not has_header:
        stream.seek(0)
    values = _values(stream, separator, len(cells), path)
    return _record(values, cells if has_header else None, path, record_id, patient_id)


def _values(stream: io.StringIO, separator: str, num_columns: int, path: Path) -> np.ndarray:
    """Return (T, columns) float64; cells that say nothing become NaN."""
    place = stream.tell()
    options: dict[str, Any] = {"delimiter": separator, "ndmin": 2, "comments": None}
    values = None
    with contextlib.suppress(ValueError):
        values = np.loadtxt(stream, **options)
    if values is None:
        stream.seek(place)
        try:
            # Slower by far, but it understands empty and quoted cells.
            values = np.loadtxt(stream, converters=_number, encoding=None, **options)
        except ValueError as error:
            raise RecordError(f"{path}: {error}; expected one number a cell") from error
    if not len(values):
        raise RecordError(f"{path} has no samples below its first line; save it as CSV again")
    if values.shape[1] != num_columns:
        raise RecordError(
            f"{path}: {values.shape[1]} numbers a line below {num_columns} names of columns"
        )
    check_shape(values.shape[1], values.shape[0], path)
    return values


def _record(
    values: np.ndarray,
    header: list[str] | None,
    path: Path,
    record_id: str | None,
    patient_id: str | None,
) -> EcgRecord:
    sidecar = read_sidecar(path)
    fs_hz, names, scale = sidecar.fs_hz, sidecar.leads, np.array(sidecar.unit_mv)
    notes: tuple[str, ...] = ()
    try:
        if header:
            columns = columns_of(header)
            names = columns.leads
            signed = signed_leads(names)
            if columns.scales:
                scale = np.array(columns.scales)[:, None]
            if columns.clock is not None:
                clock, note = rate_of(columns.clock, values[:, 0], fs_hz)
                values, notes = values[:, 1:], (note,) if note else ()
                _check_rates(clock, fs_hz, columns.clock, sidecar.path.name)
                fs_hz = fs_hz or clock
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error
    example = '{"leads": ["I", "II", ...], "fs_hz": 500}'
    if names is None or not fs_hz:
        what = "names of leads" if names is None else "sampling rate"
        raise RecordError(f"{path} has no {what}; write {example} into {sidecar.path.name}")
    is_other = header and sidecar.leads and set(sidecar.leads) != set(signed)
    if len(names) != values.shape[1] or is_other:
        raise RecordError(
            f"{path}: {values.shape[1]} columns for the leads {', '.join(sidecar.leads or names)}"
        )
    check_rate(fs_hz, path)
    with np.errstate(over="ignore"):
        signal = to_float32(values.T * scale)
    name = record_id or path.stem
    return named_record(signal, names, fs_hz, Origin(name, patient_id or name, str(path), notes))


def _check_rates(clock_hz: float | None, stated_hz: float | None, column: str, name: str) -> None:
    if clock_hz and stated_hz and abs(clock_hz / stated_hz - 1) > 1e-3:
        raise RecordError(f"column {column} says {clock_hz:g} Hz, {name} {stated_hz:g} Hz")
