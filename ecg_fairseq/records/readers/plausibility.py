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
    """Judge a signal as it is; nothing is changed, nothing raised."""
    signal = record.signal
    finite = np.isfinite(signal)
    if not finite.all():
        missing = 1.0 - float(finite.mean())
        if missing > MOST_MISSING:
            return Plausibility(0.0, _missing_text(missing, finite, record), {})
        signal = np.where(finite, signal, np.nan)
    high, low = _extremes(signal, record.fs_hz)
    is_flat = ~(np.fmax.reduce(high, axis=1) > np.fmin.reduce(low, axis=1))
    if is_flat.all():
        return Plausibility(0.0, "all leads are flat: there is no ECG in the signal", {})
    amplitude = _median(_heights(high, low)[~is_flat])
    warnings = _lead_warnings(signal, record, high, low)
    refusal = ""
    if not BELIEVABLE_MV[0] <= amplitude <= BELIEVABLE_MV[1]:
        refusal = f"{_amplitude_text(amplitude)}; {_advice(amplitude)}"
    elif not USUAL_MV[0] <= amplitude <= USUAL_MV[1]:
        kind = LOW if amplitude < USUAL_MV[0] else HIGH
        warnings[kind] = f"{_amplitude_text(amplitude)}; is its unit right?"
    is_still = ~(high > low).any(axis=0)
    return Plausibility(amplitude, refusal, warnings, bool(is_still.any()))


def _extremes(signal: np.ndarray, fs_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (largest, smallest) values of every whole second, each (L, seconds)."""
    size = min(signal.shape[1], max(1, round(fs_hz)))
    count = signal.shape[1] // size
    seconds = signal[:, : count * size].reshape(len(signal), count, size)
    # fmax and fmin pass over NaN, at the same speed.
    return np.fmax.reduce(seconds, axis=2), np.fmin.reduce(seconds, axis=2)


def _heights(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return each lead's median peak to peak of two seconds, (L,); 0 for a lead without samples."""
    if high.shape[1] > 1:
        high, low = np.fmax(high[:, :-1], high[:, 1:]), np.fmin(low[:, :-1], low[:, 1:])
    heights = high - low
    return np.array([_median(row[np.isfinite(row)]) for row in heights])


def _median(values: np.ndarray) -> float:
    """Return the median of few values, a tenth of the time that numpy's takes; 0 of none."""
    ordered = sorted(values.tolist())
    middle = len(ordered) // 2
    if not ordered:
        return 0.0
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _lead_warnings(
    signal: np.ndarray, record: EcgRecord, high: np.ndarray, low: np.ndarray
) -> dict[str, str]:
    """Return what is odd about single leads."""
    top, bottom = np.fmax.reduce(high, axis=1), np.fmin.reduce(low, axis=1)
    found: dict[str, str] = {}
    flat = _named(~(top > bottom), record)
    if flat:
        found[FLAT] = f"lead {flat} is flat or missing"
    is_saturated = np.zeros(len(signal), dtype=bool)
    for row in np.flatnonzero(top - bottom >= _SATURATED_MV):
        most = max(np.count_nonzero(signal[row] == end[row]) for end in (top, bottom))
        is_saturated[row] = most >= _SATURATED_SHARE * signal.shape[1]
    saturated = _named(is_saturated, record)
    if saturated:
        found[SATURATED] = (
            f"lead {saturated} stays at its largest or smallest value: the recorder was saturated"
        )
    if bool((np.minimum(np.abs(top), np.abs(bottom)) > _OFFSET_MV).any()) and (
        float(np.nanmin(np.sign(top) * np.sign(bottom))) > 0
    ):
        found[OFFSET] = (
            f"all samples lie more than {_OFFSET_MV:g} mV from 0; unsigned values need their "
            "offset taken off"
        )
    return found


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
    record = without_filling(record)
    found = judge(record)
    if found.refusal and not accept:
        raise RecordError(found.refusal)
    if found.refusal:
        warnings = {**found.warnings, ACCEPTED: found.refusal}
        found = replace(found, refusal="", warnings=warnings)
    return record, found


def without_filling(record: EcgRecord) -> EcgRecord:
    """Return a record without the stretches at its ends in which no lead holds a signal.

    That is: every lead keeps one value or is NaN there for half a second or more. Of leads that
    begin or end at other moments (a skew) at most a twentieth is taken off, too. A record without
    such ends comes back as it is.
    """
    start, end = _used_span(record)
    if (start, end) == (0, record.num_samples):
        return record
    taken = record.num_samples - (end - start)
    note = f"{taken / record.fs_hz:.3g} s without a signal at its ends were taken off"
    signal = np.ascontiguousarray(record.signal[:, start:end])
    return replace(record, signal=signal, notes=(*record.notes, note))


def _used_span(record: EcgRecord) -> tuple[int, int]:
    signal, total = record.signal, record.num_samples
    size = min(total, max(2, math.ceil(SHORTEST_FILLING_S * record.fs_hz)))
    start, end = 0, total
    if _is_still(signal[:, :size]) or _is_still(signal[:, -size:]):
        moves = ~_same(signal[:, 1:], signal[:, :-1]).all(axis=0)
        places = np.flatnonzero(moves)
        if not places.size:
            return 0, total
        # The last still sample before the first move may belong to the signal.
        start = int(places[0]) + 1 if places[0] + 1 >= size else 0
        end = int(places[-1]) + 1 if total - places[-1] - 1 >= size else total
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
    first = signal[:, :1]
    # Nearly always some lead moves within four samples.
    return bool(_same(signal[:, :4], first).all()) and bool(_same(signal, first).all())


def _same(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (values == others) | (np.isnan(values) & np.isnan(others))


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
