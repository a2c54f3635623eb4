"""A WFDB header as text: the common single-segment form, parsed in microseconds and checked.

The wfdb package spends about 9 ms on a header of twelve leads (specs: performance-anchors 3), far
more than reading the samples takes. What is not of the common form is left to wfdb.
Format: https://physionet.org/physiotools/wag/header-5.htm
"""

import contextlib
import math
import os
import re
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ecg_fairseq.errors import RecordError

MAX_HEADER_BYTES = 1 << 20
MAX_CHANNELS = 256
MAX_VALUES = 100_000_000  # 12 leads for 4.6 hours at 500 Hz
LOWEST_FS_HZ = 10.0
_DEFAULT_FS_HZ = 250.0
_UNITS_PER_MV = {"mv": 1.0, "v": 1e-3, "uv": 1e3, "µv": 1e3, "μv": 1e3, "nv": 1e6}

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
# PTB-XL+ writes the folder of its makers before the record's name, which wfdb refuses.
_RECORD_LINE = re.compile(
    r"(?P<folder>[^\s/]+/(?=[^\s/]*[^\s/\d]))?"
    r"(?P<name>[^\s/]+)(?:/(?P<segments>\d+))?[ \t]+(?P<signals>\d+)"
    rf"(?:[ \t]+(?P<fs>{NUMBER})(?:/{NUMBER})?(?:\({NUMBER}\))?(?:[ \t]+(?P<samples>\d+))?)?"
    r"(?:[ \t].*)?",
    re.ASCII,
)
_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?", re.ASCII)
_GAIN_FIELD = re.compile(rf"({NUMBER})(?:\(([-+]?\d+)\))?(?:/(\S+))?", re.ASCII)
_INTEGER = re.compile(r"[-+]?\d+", re.ASCII)
_MOST_DIGITS = 17
_DEFAULT_GAIN = (200.0, 0, "mV")


class SignalLine(NamedTuple):
    """One signal of a header; ``baseline`` is the step that means 0 mV; texts may be empty."""

    file: str
    format: str
    samples_per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str
    checksum: str
    name: str


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed single-segment header; ``num_samples`` is None when the header leaves it out."""

    fs_hz: float
    num_samples: int | None
    signals: tuple[SignalLine, ...]


def read_header_text(path: Path) -> str:
    """Read a header file.

    Raises:
        RecordError: it is missing, empty, far too large or binary.
    """
    try:
        with open(path, "rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            content = stream.read(size) if size <= MAX_HEADER_BYTES else b""
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
    if not content:
        raise RecordError(f"{path} has {size} bytes; a WFDB header has 1 to {MAX_HEADER_BYTES}")
    if b"\0" in content:
        raise RecordError(f"{path} is not a WFDB header: it holds zero bytes; copy it again")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def parse_header(text: str, path: Path) -> Header | None:
    """Parse a header of the common form; None when it is of another (for wfdb to judge).

    Raises:
        RecordError: counts, rate or gain that no recording can have.
    """
    lines = [line for line in text.splitlines() if line and not line.isspace() and line[0] != "#"]
    first = _RECORD_LINE.fullmatch(lines[0].strip()) if lines else None
    if first is None:
        return None
    num_signals = _count(first["signals"])
    num_samples = None if first["samples"] is None else _count(first["samples"])
    check_counts(num_signals, num_samples, path)
    if first["segments"] is not None or len(lines) - 1 < num_signals:
        return None
    signals = []
    for line in lines[1 : num_signals + 1]:
        signal = _signal(line.removeprefix(first["folder"] or ""))
        if signal is None:
            return None
        check_gain(signal.name, signal.gain, path)
        signals.append(signal)
    fs_hz = float(first["fs"]) if first["fs"] else _DEFAULT_FS_HZ
    check_rate(fs_hz * signals[0].samples_per_frame, path)
    # A length of 0 means "unknown" in WFDB.
    return Header(fs_hz, num_samples or None, tuple(signals))


def _count(text: str) -> int:
    """Return an integer; texts of more digits than any recording needs become a huge number."""
    return int(text) if len(text) <= _MOST_DIGITS else MAX_VALUES + 1


def _signal(line: str) -> SignalLine | None:
    """Parse a signal line: ``file format gain resolution zero initial checksum block name``.

    Fields are left out from the right only; None when a field has another form.
    """
    fields = line.split(None, 8)
    num_fields = len(fields)
    form = _parse_format(fields[1]) if num_fields > 1 else None
    gain = (
        _parse_gain(fields[2], fields[4] if num_fields > 4 else "0")
        if num_fields > 2
        else _DEFAULT_GAIN
    )
    if form is None or gain is None:
        return None
    checksum = fields[6] if num_fields > 6 else ""
    return SignalLine(
        fields[0], *form, *gain, checksum, fields[8].rstrip() if num_fields > 8 else ""
    )


@lru_cache(maxsize=256)
def _parse_format(text: str) -> tuple[str, int, int, int] | None:
    """Return (format, samples per frame, skew, byte offset) of ``16x1:0+24``."""
    match = _FORMAT.fullmatch(text)
    if match is None:
        return None
    return match[1], _count(match[2] or "1"), _count(match[3] or "0"), _count(match[4] or "0")


@lru_cache(maxsize=1024)
def _parse_gain(text: str, zero: str) -> tuple[float, int, str] | None:
    """Return (gain, baseline, unit) of ``1000.0(0)/mV``; ``zero`` stands in for no baseline."""
    match = _GAIN_FIELD.fullmatch(text)
    baseline = match and (match[2] or zero)
    if match is None or not baseline or _INTEGER.fullmatch(baseline) is None:
        return None
    return float(match[1]), _count(baseline), match[3] or "mV"


def check_counts(num_signals: int | None, num_samples: int | None, path: Path) -> None:
    """Refuse counts that no recording has, before memory is asked for them."""
    if not num_signals or not 0 < num_signals <= MAX_CHANNELS:
        raise RecordError(f"{path}: {num_signals} signals; expected 1 to {MAX_CHANNELS}")
    if num_samples is not None and not 0 <= num_samples * num_signals <= MAX_VALUES:
        raise RecordError(
            f"{path}: {num_signals} signals of {num_samples} samples; expected at most "
            f"{MAX_VALUES} values in all; cut the record into pieces"
        )


def check_rate(fs_hz: float | None, path: Path) -> None:
    """Refuse a rate at which no ECG is recorded: mostly a period or a unit taken for it."""
    if not fs_hz or not math.isfinite(fs_hz) or not LOWEST_FS_HZ <= fs_hz <= 1e6:
        raise RecordError(
            f"{path}: sampling rate {fs_hz}; expected samples a second, {LOWEST_FS_HZ:g} or more"
        )


def check_gain(lead: str, gain: float, path: Path) -> None:
    """Refuse gains that cannot be: zero, NaN, or beyond every real recorder."""
    if not (math.isfinite(gain) and 1e-3 <= abs(gain) <= 1e9):
        raise RecordError(
            f"{path}: lead {lead} has a gain of {gain:g} steps per unit; correct the header"
        )


def find_signal_file(name: str, path: Path) -> tuple[str, int]:
    """Return path and size of a signal file.

    Raises:
        RecordError: the name points outside the header's folder, or no such file is there.
    """
    inside = name not in ("", ".", "..", "~") and "/" not in name and "\\" not in name
    folder = os.path.dirname(path)
    target = os.path.join(folder, name)
    state = None
    if inside:
        with contextlib.suppress(OSError, ValueError):
            state = os.lstat(target)
            if stat.S_ISLNK(state.st_mode):
                real = os.path.realpath(target)
                inside = os.path.dirname(real) == os.path.realpath(folder)
                state = os.stat(target)
    if not inside:
        raise RecordError(
            f"{path} names the signal file {name!r}; expected a file in the header's own folder"
        )
    if state is None or not stat.S_ISREG(state.st_mode):
        raise RecordError(f"{path} names the signal file {name!r}, which is not there; copy it too")
    return target, state.st_size


def check_size(target: str, have: int, wanted: int, num_samples: int, path: Path) -> None:
    """Refuse a signal file that is shorter than its header says, or more than twice as long."""
    # Longer by a few bytes is common (padding); twice as long means the header is of another file.
    if have < wanted or have > 2 * wanted + 1024:
        raise RecordError(
            f"{target} has {have} bytes, its header {path.name} promises {num_samples} samples = "
            f"{wanted} bytes; copy the record again or leave it out"
        )


def millivolts_per_unit(unit: str) -> float:
    """Return how many mV one physical unit is; RecordError on units that are no voltage."""
    per_mv = _UNITS_PER_MV.get(unit.strip().lower())
    if per_mv is None:
        raise RecordError(f"unit {unit!r}; expected mV, uV, V or nV; correct the header")
    return 1.0 / per_mv
