"""WFDB records of several segments, joined lead by lead.

Segments of one record may hold other leads in another order, with other units and gains; each is
read by itself, in mV, and laid into the whole by the names of its leads. What no segment holds, and
gaps (segment ``~``), are NaN. Format: https://physionet.org/physiotools/wag/header-5.htm
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.wfdb_header import (
    NUMBER,
    check_counts,
    find_signal_file,
    read_header_text,
)
from ecg_fairseq.records.record import EcgRecord, Origin

GAP = "~"
_MAX_SEGMENTS = 100_000
_MASTER_LINE = re.compile(
    r"[^\s/]+/(?P<segments>\d{1,9})[ \t]+(?P<signals>\d{1,9})"
    rf"(?:[ \t]+(?P<fs>{NUMBER})(?:/{NUMBER})?(?:\({NUMBER}\))?(?:[ \t]+(?P<frames>\d{{1,17}}))?)?"
    r"(?:[ \t].*)?",
    re.ASCII,
)
_SEGMENT_LINE = re.compile(r"([^\s/\\]+)[ \t]+(\d{1,17})(?:[ \t].*)?", re.ASCII)


@dataclass(frozen=True)
class Segments:
    """A master header: (name, frames) of each segment; ``fs_hz`` is the frame rate, if stated."""

    fs_hz: float | None
    parts: tuple[tuple[str, int], ...]


def parse_segments(text: str, path: Path) -> Segments | None:
    """Parse a master header; None when the header is of a record of one segment.

    Raises:
        RecordError: a line has another form, or counts and lengths contradict each other.
    """
    first = text.partition("\n")[0]
    if "/" not in first and not first.lstrip().startswith("#") and first.strip():
        return None  # nearly always, and quickly
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    master = _MASTER_LINE.fullmatch(lines[0]) if lines else None
    if master is None:
        return None
    wanted, frames = int(master["segments"]), master["frames"]
    if not 0 < wanted <= _MAX_SEGMENTS or len(lines) - 1 < wanted:
        raise RecordError(
            f"{path}: {wanted} segments announced, {len(lines) - 1} described; copy it again"
        )
    found = [_SEGMENT_LINE.fullmatch(line) for line in lines[1 : wanted + 1]]
    if None in found:
        line = lines[1 + found.index(None)]
        raise RecordError(
            f"{path}: segment line {line[:60]!r}; expected a record of the header's own folder and "
            "its number of samples"
        )
    parts = tuple((match[1], int(match[2])) for match in found if match)
    total = sum(length for _, length in parts)
    check_counts(int(master["signals"]), total, path)
    if frames is not None and int(frames) != total:
        raise RecordError(
            f"{path}: {frames} samples announced, its segments have {total}; copy it again"
        )
    return Segments(float(master["fs"]) if master["fs"] else None, parts)


def read_segments(
    segments: Segments, read: Callable[[Path], EcgRecord], origin: Origin, path: Path
) -> EcgRecord:
    """Read all segments and join them.

    Args:
        read: reads the one-segment record of a header path.

    Raises:
        RecordError: a segment cannot be read, or its rate or length is not what the master says.
    """
    records: list[tuple[int, EcgRecord | None]] = []
    for name, frames in segments.parts:
        if name == GAP:
            records.append((frames, None))
            continue
        header = path.with_name(f"{name}.hea")
        find_signal_file(header.name, path)
        if parse_segments(read_header_text(header), header) is not None:
            raise RecordError(f"{path}: segment {name} has segments itself; expected one level")
        if frames:  # a first segment without samples is the layout of those that follow
            records.append((frames, read(header)))
    present = [(frames, record) for frames, record in records if record is not None]
    if not present:
        raise RecordError(f"{path}: all of its segments are gaps; the record holds no signal")
    fs_hz, per_frame = _rate(segments, present, path)
    leads = tuple(dict.fromkeys(lead for _, record in present for lead in record.leads))
    total = per_frame * sum(frames for frames, _ in records)
    check_counts(len(leads), total, path)
    signal = np.full((len(leads), total), np.nan, dtype=np.float32)
    place = 0
    for frames, record in records:
        end = place + frames * per_frame
        if record is not None:
            signal[[leads.index(lead) for lead in record.leads], place:end] = record.signal
        place = end
    return EcgRecord(
        signal,
        leads,
        fs_hz,
        origin.record_id,
        origin.patient_id,
        origin.source,
        tuple(dict.fromkeys(lead for _, record in present for lead in record.derived)),
        tuple(dict.fromkeys(note for _, record in present for note in record.notes)),
    )


def _rate(
    segments: Segments, records: Sequence[tuple[int, EcgRecord]], path: Path
) -> tuple[float, int]:
    """Return (rate, samples of a frame); rates and lengths of all segments must agree."""
    rates = sorted({record.fs_hz for _, record in records})
    per_frame = {record.num_samples / frames for frames, record in records}
    if len(rates) > 1:
        shown = ", ".join(f"{rate:g}" for rate in rates)
        raise RecordError(f"{path}: segments of {shown} Hz; resample them to one rate first")
    ratio = per_frame.pop()
    if per_frame or not ratio.is_integer():
        name = next(r.record_id for n, r in records if r.num_samples != n * max(1, int(ratio)))
        raise RecordError(
            f"{path}: segment {name} has another number of samples than the master header says; "
            "copy the record again"
        )
    stated = segments.fs_hz
    if stated is not None and abs(stated * ratio - rates[0]) > 1e-6 * rates[0]:
        raise RecordError(
            f"{path}: {stated:g} Hz announced, its segments have {rates[0] / ratio:g} Hz; correct "
            "the header"
        )
    return rates[0], int(ratio)
