"""Is a signal an ECG in millivolts? One check for arrays, folders, files and predictions.

A wrong unit, a lead that was off and the filling of a short recording look like any other numbers
to a recipe or a network. Each lead's height from peak to peak in two seconds, which hold a QRS, is
taken as the QRS amplitude; its median over time and leads withstands wander and single artefacts.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.record import EcgRecord

USUAL_MV = (0.1, 20.0)
BELIEVABLE_MV = (0.02, 50.0)
MOST_MISSING = 0.2
# Filling is as long as this at least; no electrode of a patient keeps all leads still that long.
SHORTEST_FILLING_S = 0.5
_MOST_RAGGED = 0.05
_LEAST_MOVING = 0.05
_GLANCE_S, _BEYOND_DOUBT_MV = 2.0, (0.2, 10.0)
_SATURATED_SHARE = 0.01
_SATURATED_MV = 2.0
_OFFSET_MV = 20.0
# What the values may be in truth: how many mV one of their units is; empty: a recorder's step.
_UNITS = {"uV": 1e-3, "V": 1e3, "nV": 1e-6, "": 1 / 200}
LOW, HIGH, ACCEPTED = "low amplitude", "high amplitude", "accepted as it is"
FLAT, SATURATED, OFFSET = "flat lead", "saturated lead", "offset"
FILLED = "filling at the ends taken off"


@dataclass(frozen=True)
class Plausibility:
    """What was found.

    Attributes:
        amplitude_mv: median QRS amplitude; 0 when all leads are flat.
        refusal: why the signal cannot be used, or empty.
        warnings: kind of finding -> a sentence.
        has_still_second: all leads stand still for a second somewhere.
    """

    amplitude_mv: float
    refusal: str
    warnings: dict[str, str]
    has_still_second: bool = False


def judge(record: EcgRecord) -> Plausibility:
    """Judge a signal as it is; nothing is changed, nothing raised.

    A signal that is beyond doubt at two places is not looked at further: this is asked of every
    record of a preparation, and the fastest recipes take a fifth of a millisecond.
    """
    return _glance(record) or _examine(record)


def _glance(record: EcgRecord) -> Plausibility | None:
    """Return the judgement on a signal that is beyond doubt; None where a closer look is needed."""
    signal, half = record.signal, record.num_samples // 2
    size = round(_GLANCE_S * record.fs_hz)
    if half < 2 * size:
        return None
    # A view (L, 2, T) of the middle of each half; few calls, as each costs more than its samples.
    start = (half - size) // 2
    places = signal[:, : 2 * half].reshape(len(signal), 2, half)[:, :, start : start + size]
    high, low = np.maximum.reduce(places, axis=2), np.minimum.reduce(places, axis=2)
    ordered = np.sort(high - low, axis=0).tolist()
    middle = (len(ordered) - 1) // 2, len(ordered) // 2
    amplitudes = [(ordered[middle[0]][at] + ordered[middle[1]][at]) / 2 for at in (0, 1)]
    is_likely = min(amplitudes) >= _BEYOND_DOUBT_MV[0] and max(amplitudes) <= _BEYOND_DOUBT_MV[1]
    # Comparisons with NaN are false, so that missing samples are looked at closely.
    is_centered = low.min() > -_OFFSET_MV and low.max() < _OFFSET_MV
    if not (is_likely and is_centered and min(ordered[0]) > 0):
        return None
    if ordered[-1][0] >= _SATURATED_MV:
        is_same = (high[:, 0] == high[:, 1]) | (low[:, 0] == low[:, 1])
        if (is_same & (high[:, 0] - low[:, 0] >= _SATURATED_MV)).any():
            return None
    seconds = _seconds(signal[:1], record.fs_hz)
    if (np.maximum.reduce(seconds, axis=2) == np.minimum.reduce(seconds, axis=2)).any():
        return None
    return Plausibility(sum(amplitudes) / 2, "", {})


def _examine(record: EcgRecord) -> Plausibility:
    """Judge a signal by all of its samples."""
    signal = record.signal
    seconds = _seconds(signal, record.fs_hz)
    high, low = np.maximum.reduce(seconds, axis=2), np.minimum.reduce(seconds, axis=2)
    if not math.isfinite(float(high.sum() - low.sum())):
        finite = np.isfinite(signal)
        missing = 1.0 - float(finite.mean())
        if missing > MOST_MISSING:
            return Plausibility(0.0, _missing_text(missing, finite, record), {})
        seconds = _seconds(np.where(finite, signal, np.nan), record.fs_hz)
        high, low = np.fmax.reduce(seconds, axis=2), np.fmin.reduce(seconds, axis=2)
        # A second without samples of a lead stands still at the lead's middle.
        middle = np.fmax.reduce(high, axis=1) / 2 + np.fmin.reduce(low, axis=1) / 2
        middle = np.nan_to_num(middle)[:, None]
        high, low = np.where(np.isnan(high), middle, high), np.where(np.isnan(low), middle, low)
    return _judged(record, high, low)


def _judged(record: EcgRecord, high: np.ndarray, low: np.ndarray) -> Plausibility:
    """Judge by the largest and smallest values of every second, each (L, seconds)."""
    top, bottom = np.sort(high, axis=1), np.sort(low, axis=1)
    is_flat = top[:, -1] == bottom[:, 0]
    height = _heights(high, low)
    if is_flat.any():
        height = height[~is_flat]
    if not height.size:
        return Plausibility(0.0, "all leads are flat: there is no ECG in the signal", {})
    amplitude = _median(height)
    warnings = _lead_warnings(record, top, bottom)
    refusal = ""
    if not BELIEVABLE_MV[0] <= amplitude <= BELIEVABLE_MV[1]:
        refusal = f"{_amplitude_text(amplitude)}; {_advice(amplitude)}"
    elif not USUAL_MV[0] <= amplitude <= USUAL_MV[1]:
        kind = LOW if amplitude < USUAL_MV[0] else HIGH
        warnings[kind] = f"{_amplitude_text(amplitude)}; is its unit right?"
    has_still_second = bool((high == low).all(axis=0).any())
    return Plausibility(amplitude, refusal, warnings, has_still_second)


def _seconds(signal: np.ndarray, fs_hz: float) -> np.ndarray:
    """Return the whole seconds of a signal, a view (L, seconds, T); of a shorter one, all of it."""
    size = min(signal.shape[1], max(1, round(fs_hz)))
    count = signal.shape[1] // size
    return signal[:, : count * size].reshape(len(signal), count, size)


def _heights(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return each lead's median peak to peak of two seconds, (L,)."""
    if high.shape[1] > 1:
        high = np.maximum(high[:, :-1], high[:, 1:])
        low = np.minimum(low[:, :-1], low[:, 1:])
    ordered = np.sort(high - low, axis=1)
    count = ordered.shape[1]
    return (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2


def _median(values: np.ndarray) -> float:
    """Return the median of a few values."""
    ordered = sorted(values.tolist())
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _lead_warnings(record: EcgRecord, high: np.ndarray, low: np.ndarray) -> dict[str, str]:
    """Return what is odd about single leads.

    Args:
        high, low: extremes of the seconds, each lead's in ascending order.
    """
    top, bottom = high[:, -1], low[:, 0]
    found: dict[str, str] = {}
    height = top - bottom
    if height.min() == 0:
        found[FLAT] = f"lead {_named(height == 0, record)} is flat or missing"
    if high.shape[1] > 1:
        # Saturated leads come to the same extreme in several seconds.
        is_likely = (high[:, -2] == top) | (low[:, 1] == bottom)
        is_likely &= height >= _SATURATED_MV
        saturated = [row for row in np.flatnonzero(is_likely) if _is_saturated(record.signal[row])]
        if saturated:
            names = ", ".join(record.leads[row] for row in saturated)
            found[SATURATED] = (
                f"lead {names} stays at its largest or smallest value: the recorder was saturated"
            )
    if bottom.min() > _OFFSET_MV or top.max() < -_OFFSET_MV:
        found[OFFSET] = (
            f"all samples lie more than {_OFFSET_MV:g} mV from 0; unsigned values need their "
            "offset taken off"
        )
    return found


def _is_saturated(row: np.ndarray) -> bool:
    least = _SATURATED_SHARE * len(row)
    return any(np.count_nonzero(row == end) >= least for end in (np.nanmin(row), np.nanmax(row)))


def _named(is_meant: np.ndarray, record: EcgRecord) -> str:
    return ", ".join(lead for lead, meant in zip(record.leads, is_meant, strict=True) if meant)


def _amplitude_text(amplitude_mv: float) -> str:
    return (
        f"the QRS complexes are about {amplitude_mv:.4g} mV high, those of an ECG "
        f"{USUAL_MV[0]:g} to {USUAL_MV[1]:g} mV"
    )


def _advice(amplitude_mv: float) -> str:
    """Name the unit in which the amplitude would be nearest to 1 mV."""
    unit = min(_UNITS, key=lambda name: abs(math.log10(max(amplitude_mv, 1e-30) * _UNITS[name])))
    likely = (
        f"the values are likely in {unit}: give the unit of an array with --unit {unit}, that of a "
        "file in its sidecar or header"
        if unit
        else "the values are likely a recorder's steps, often 200 to a mV: divide them by its gain"
    )
    return f"{likely}, or accept the signal as it is with --accept-amplitude"


def _missing_text(missing: float, finite: np.ndarray, record: EcgRecord) -> str:
    worst = int(np.argmin(finite.mean(axis=1)))
    return (
        f"{100 * missing:.0f} % of the samples are missing or NaN (lead {record.leads[worst]}: "
        f"{100 * (1 - float(finite[worst].mean())):.0f} %); expected at most "
        f"{100 * MOST_MISSING:.0f} %"
    )


def plausible(record: EcgRecord, accept: bool = False) -> tuple[EcgRecord, Plausibility]:
    """Return a record without the filling at its ends, and what was found in it.

    Args:
        accept: let pass what would be refused, with a warning.

    Raises:
        RecordError: all leads are flat, too many samples are missing, or the amplitude cannot be
            that of an ECG in mV; the message names the likely unit.
    """
    record, seconds = without_filling(record)
    found = judge(record)
    if seconds:
        found.warnings[FILLED] = f"{seconds:.3g} s without a signal at its ends were taken off"
    if found.refusal and not accept:
        raise RecordError(found.refusal)
    if found.refusal:
        warnings = {**found.warnings, ACCEPTED: found.refusal}
        found = replace(found, refusal="", warnings=warnings)
    return record, found


def without_filling(record: EcgRecord) -> tuple[EcgRecord, float]:
    """Return a record without the stretches at its ends in which no lead has a signal; and seconds.

    That is: every lead keeps one value or is NaN there for half a second or more. Of leads that
    begin or end at other moments (a skew) at most a twentieth is taken off, too. A record without
    such ends comes back as it is.
    """
    start, end = _used_span(record)
    if (start, end) == (0, record.num_samples):
        return record, 0.0
    taken = record.num_samples - (end - start)
    signal = np.ascontiguousarray(record.signal[:, start:end])
    return replace(record, signal=signal), taken / record.fs_hz


def _used_span(record: EcgRecord) -> tuple[int, int]:
    signal, total = record.signal, record.num_samples
    size = min(total, max(2, math.ceil(SHORTEST_FILLING_S * record.fs_hz)))
    step = size - 1
    is_moving = any(row[0] != row[step] for row in signal) and any(
        row[-1] != row[-1 - step] for row in signal
    )
    if is_moving and math.isfinite(float(signal[:, 0].sum() + signal[:, -1].sum())):
        return 0, total  # nearly always
    start, end = 0, total
    if _is_still(signal[:, :size]) or _is_still(signal[:, -size:]):
        moves = ~_same(signal[:, 1:], signal[:, :-1]).all(axis=0)
        places = np.flatnonzero(moves)
        if not places.size:
            return 0, total
        # The last still sample before the first move may belong to the signal.
        start = int(places[0]) + 1 if places[0] + 1 >= size else 0
        end = int(places[-1]) + 1 if total - places[-1] - 1 >= size else total
        # Of a signal that mostly stands still, what stands still at the ends is no filling.
        if len(places) < _LEAST_MOVING * (end - start):
            return 0, total
    return _without_ragged(signal, start, end)


def _without_ragged(signal: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """Return the span narrowed to where all leads (but those without any sample) have samples."""
    if not np.isnan(signal[:, [start, end - 1]]).any():
        return start, end
    present = ~np.isnan(signal[:, start:end])
    present = present[present.any(axis=1)]
    places = np.flatnonzero(present.all(axis=0)) if len(present) else np.empty(0, dtype=int)
    if not places.size:
        return start, end
    first, last = start + int(places[0]), start + int(places[-1]) + 1
    is_small = (end - start) - (last - first) <= _MOST_RAGGED * (end - start)
    return (first, last) if is_small else (start, end)


def _is_still(signal: np.ndarray) -> bool:
    return bool(_same(signal, signal[:, :1]).all())


def _same(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (values == others) | (np.isnan(values) & np.isnan(others))


def segments_to_leave_out(record: EcgRecord, num_segments: int, seconds: float) -> np.ndarray:
    """Say which of several segments are to be left out as no lead moves, bool (num_segments,).

    None is left out where no segment would remain; arguments as of :func:`still_segments`.
    """
    if num_segments > 1:
        is_still = still_segments(record, num_segments, seconds)
        if not is_still.all():
            return is_still
    return np.zeros(num_segments, dtype=bool)


def still_segments(record: EcgRecord, num_segments: int, seconds: float) -> np.ndarray:
    """Say which of consecutive segments hold nothing but still leads, bool (num_segments,).

    Args:
        seconds: length of a segment, as cut from the record's start.
    """
    result = np.zeros(num_segments, dtype=bool)
    for index in range(num_segments):
        start = round(index * seconds * record.fs_hz)
        part = record.signal[:, start : round((index + 1) * seconds * record.fs_hz)]
        result[index] = part.size > 0 and _is_still(part)
    return result
