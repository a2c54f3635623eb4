"""What the columns of a recording in CSV are: a clock, a running number, or leads with units."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.wfdb_header import LOWEST_FS_HZ, millivolts_per_unit
from ecg_fairseq.signal.leads import lead_and_sign

_CLOCK = re.compile(
    r"(?:(?:elapsed[ _]?)?(?:time(?:[ _]?stamp)?|t))?[ _]?[(\[]?"
    r"(?P<unit>s|secs?|seconds?|ms|msecs?|milliseconds?|us|µs|μs|microseconds?)?[)\]]?"
)
_NUMBER_NAMES = ("sample", "samples", "sample_number", "index", "frame", "n", "")
_SECONDS = (("s", 1.0), ("micro", 1e-6), ("m", 1e-3), ("u", 1e-6), ("µ", 1e-6), ("μ", 1e-6))
_WITH_UNIT = re.compile(r"(?P<name>.+?)[ _]?[(\[](?P<unit>[mnuµμ]?v)[)\]]", re.IGNORECASE)
# A clock without a unit is taken in the unit that gives a rate of ECGs.
_USUAL_FS_HZ = (50.0, 5000.0)


@dataclass(frozen=True)
class Columns:
    """The columns of a header line.

    Attributes:
        clock: name of the first column if it tells the time or counts samples, else None.
        leads: names of the other columns, without their units.
        scales: mV of one unit of each lead, or None where no column names its unit.
    """

    clock: str | None
    leads: tuple[str, ...]
    scales: tuple[float, ...] | None


def columns_of(cells: Sequence[str]) -> Columns:
    """Return what the cells of a header line name.

    Raises:
        RecordError: names the columns that are no lead.
    """
    first = cells[0].strip().lower()
    is_clock = bool(_CLOCK.fullmatch(first)) or first in _NUMBER_NAMES
    names = cells[1:] if is_clock else cells
    found = [_lead_and_unit(name) for name in names]
    strange = [name for name in names if not is_lead(name)]
    if strange or not names:
        shown = ", ".join(repr(name[:40]) for name in strange[:8]) or "no other column"
        raise RecordError(
            f"column {shown} is no lead; remove it, or name it like a lead (I, II, aVR, V1)"
            + ("" if is_clock else "; a column of times comes first and is called time")
        )
    units = [unit for _, unit in found]
    if any(units) and not all(units):
        raise RecordError("some columns name a unit and others do not; name it for all or none")
    scales = tuple(millivolts_per_unit(unit) for unit in units) if any(units) else None
    return Columns(cells[0] if is_clock else None, tuple(name for name, _ in found), scales)


def is_lead(cell: str) -> bool:
    """Say whether a cell is the name of a lead, with or without a unit behind it."""
    try:
        lead_and_sign(_lead_and_unit(cell)[0])
    except RecordError:
        return False
    return True


def names_mostly_leads(cells: Sequence[str]) -> bool:
    """Say whether more than half of the cells are names of leads; a sidecar's JSON is no line."""
    if any(mark in cell for cell in cells for mark in "{}:"):
        return False
    return 2 * sum(is_lead(cell) for cell in cells) > len(cells)


def _lead_and_unit(cell: str) -> tuple[str, str]:
    match = _WITH_UNIT.fullmatch(cell.strip())
    return (match["name"], match["unit"]) if match else (cell, "")


def rate_of(name: str, values: np.ndarray, stated_hz: float | None) -> tuple[float | None, str]:
    """Return (rate, note) that a first column tells; the rate is None for a running number.

    The unit of a clock is the one that its name says. Without one it is seconds, if that gives a
    rate of ECGs, else milliseconds or microseconds, with a note.

    Args:
        values: the column, in the order of lines.
        stated_hz: the rate that the sidecar states, which settles the unit too.

    Raises:
        RecordError: it is not evenly spaced, or no unit gives a rate of ECGs.
    """
    step = _even_step(values)
    lowered = name.strip().lower()
    counts = abs(step - 1.0) < 1e-9
    if lowered in _NUMBER_NAMES:
        if counts:
            return None, ""
        raise RecordError(f"column {name!r} counts by {step:g}; expected running numbers")
    unit = _unit_of(lowered)
    if unit is not None:
        return _checked(_rounded(1.0 / (step * unit)), name), ""
    rates = [_rounded(1.0 / (step * scale)) for scale in (1.0, 1e-3, 1e-6)]
    if stated_hz:
        # A clock that counts samples is common, and then only the sidecar knows the rate.
        agree = [rate for rate in rates if abs(rate / stated_hz - 1) <= 1e-3]
        return (None, "") if counts and not agree else ((agree or rates)[0], "")
    usual = [rate for rate in rates if _USUAL_FS_HZ[0] <= rate <= _USUAL_FS_HZ[1]]
    if counts or not usual:
        raise RecordError(
            f"column {name!r} goes on by {step:g} a line and names no unit; call it time_s or "
            "time_ms, or give the rate as fs_hz in a sidecar"
        )
    if usual[0] == rates[0]:
        return rates[0], ""
    what = "milliseconds" if usual[0] == rates[1] else "microseconds"
    return usual[0], f"column {name} was taken as {what}: in seconds it would be {rates[0]:g} Hz"


def _unit_of(name: str) -> float | None:
    """Return the seconds of a clock's unit by its name; None where the name has no unit."""
    match = _CLOCK.fullmatch(name)
    text = (match["unit"] if match else "") or ""
    return next((scale for start, scale in _SECONDS if text.startswith(start)), None)


def _checked(fs_hz: float, name: str) -> float:
    if fs_hz < LOWEST_FS_HZ:
        raise RecordError(
            f"column {name!r} says {fs_hz:g} Hz, at which no ECG is recorded; is its unit right?"
        )
    return fs_hz


def _rounded(fs_hz: float) -> float:
    """Return a rate without what rounded times of a short recording add: 499.99 Hz."""
    return round(fs_hz) if abs(fs_hz - round(fs_hz)) < 1e-3 * fs_hz else fs_hz


def _even_step(values: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        steps = np.diff(values)
        mean = float((values[-1] - values[0]) / max(1, len(steps)))
        # Times are often rounded; a lost sample shifts a step by as much as itself.
        is_even = mean > 0 and bool((np.abs(steps - mean) <= 0.5 * mean).all())
    if not is_even:
        raise RecordError("the time column is not evenly spaced; resample the recording")
    return mean
