"""Multiplex groups of a DICOM waveform put together: by lead, by time, and beats apart.

A group holds channels that were recorded together. One file may hold several: strips of a printed
page (four groups of three leads), pieces that follow one another, a rhythm strip, and median beats
that the device computed. Reference: DICOM PS3.3, section C.10.9.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.array_checks import check_shape

_BEAT_LABEL = re.compile(r"median|average|template|beat", re.IGNORECASE)
_LONGEST_BEAT_S = 2.0
_LONGEST_STRIP_S = 6.0
_LEAST_RATIO = 4
_SAME_MV = 1e-3


@dataclass(frozen=True, eq=False)
class Group:
    """One multiplex group.

    Attributes:
        signal: float64 (L, T) in mV; NaN where a channel has no sample.
        leads: canonical names, inverted leads turned back.
        offset_s: when it begins, or None where the file does not say.
        is_derived: the file calls it computed from others.
        notes: what was done to it.
    """

    signal: np.ndarray
    leads: tuple[str, ...]
    fs_hz: float
    offset_s: float | None = None
    label: str = ""
    is_derived: bool = False
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.signal.shape[1] / self.fs_hz


@dataclass(frozen=True, eq=False)
class Joined:
    """All groups of one kind as one recording, see :class:`Group`."""

    signal: np.ndarray
    leads: tuple[str, ...]
    fs_hz: float
    notes: tuple[str, ...]


def choose_groups(groups: Sequence[Group], waveform: str) -> list[Group]:
    """Return the groups of the recording (``rhythm``) or those of the median beats (``median``).

    Raises:
        RecordError: there are none of that kind.
    """
    beats = [group for group in groups if _is_beat(group, groups)]
    others = [group for group in groups if not any(group is beat for beat in beats)]
    if waveform == "median":
        if not beats:
            raise RecordError("no median beat is in the file; leave :median out")
        return beats
    if not others:
        raise RecordError("only median beats are in the file; name it FILE:median to read them")
    return [group for group in others if not group.is_derived] or others


def _is_beat(group: Group, groups: Sequence[Group]) -> bool:
    if _BEAT_LABEL.search(group.label):
        return True
    if group.seconds >= _LONGEST_BEAT_S:
        return False
    leads = set(group.leads)
    is_part = any(
        leads <= set(other.leads) and other.seconds >= _LEAST_RATIO * group.seconds
        for other in groups
    )
    return group.is_derived or is_part


def join_groups(groups: Sequence[Group], path: Path) -> Joined:
    """Put groups together by time and lead; where nothing was recorded, samples are NaN.

    Raises:
        RecordError: rates differ, two groups hold other values for one lead and time, or the
            whole would be larger than any recording.
    """
    rates = sorted({group.fs_hz for group in groups})
    if len(rates) > 1:
        shown = ", ".join(f"{rate:g}" for rate in rates)
        raise RecordError(f"groups of {shown} Hz; expected one rate, export them as one")
    starts, notes = _starts(groups)
    first = min(starts)
    starts = [start - first for start in starts]
    leads = tuple(dict.fromkeys(lead for group in groups for lead in group.leads))
    length = max(start + g.signal.shape[1] for start, g in zip(starts, groups, strict=True))
    check_shape(len(leads), length, path)
    signal = np.full((len(leads), length), np.nan)
    for start, group in zip(starts, groups, strict=True):
        _lay(group, start, signal, leads)
    own = [note for group in groups for note in group.notes]
    return Joined(signal, leads, rates[0], (*dict.fromkeys(own), *notes))


def _lay(group: Group, start: int, signal: np.ndarray, leads: tuple[str, ...]) -> None:
    """Write a group into the whole; what stands there already must be the same."""
    for values, lead in zip(group.signal, group.leads, strict=True):
        place = signal[leads.index(lead), start : start + len(values)]
        both = ~(np.isnan(place) | np.isnan(values))
        if both.any() and float(np.abs(place[both] - values[both]).max()) > _SAME_MV:
            raise RecordError(
                f"lead {lead} stands twice for the same time with different values; export the "
                "recording alone"
            )
        np.copyto(place, values, where=np.isnan(place))


def _starts(groups: Sequence[Group]) -> tuple[list[int], tuple[str, ...]]:
    """Return the first sample of every group, and what was assumed."""
    fs_hz = groups[0].fs_hz
    if len(groups) == 1:
        return [0], ()
    if any(group.offset_s is not None for group in groups):
        return [round((group.offset_s or 0.0) * fs_hz) for group in groups], ()
    lengths = [group.signal.shape[1] for group in groups]
    strips = _strips(groups)
    together = _are_disjoint(groups) and max(g.seconds for g in groups) >= _LONGEST_STRIP_S
    if together:
        note = f"{len(groups)} groups without time offsets were taken as simultaneous"
        return [0] * len(groups), (note,)
    starts, place = [], 0
    for length, is_strip in zip(lengths, strips, strict=True):
        starts.append(place if is_strip else 0)
        place += length if is_strip else 0
    note = f"{len(groups)} groups without time offsets were taken as following one another"
    return starts, (note,)


def _strips(groups: Sequence[Group]) -> list[bool]:
    """Say of every group whether it is one in a row; a rhythm strip below the row is not."""
    lengths = [group.signal.shape[1] for group in groups]
    longest = int(np.argmax(lengths))
    row = [group for index, group in enumerate(groups) if index != longest]
    total = sum(lengths) - lengths[longest]
    is_rhythm = len(row) > 1 and _are_disjoint(row) and 10 * lengths[longest] >= 9 * total
    return [not (is_rhythm and index == longest) for index in range(len(groups))]


def _are_disjoint(groups: Sequence[Group]) -> bool:
    leads = [lead for group in groups for lead in group.leads]
    return len(set(leads)) == len(leads)
