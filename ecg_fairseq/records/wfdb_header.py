"""A WFDB header as text: the common single-segment form, parsed in microseconds and checked.

The wfdb package spends about 9 ms on a header of twelve leads (specs: performance-anchors 3), far
more than reading the samples takes. What is not of the common form is left to wfdb.
Format: https://physionet.org/physiotools/wag/header-5.htm
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from ecg_fairseq.errors import RecordError

MAX_HEADER_BYTES = 1 << 20
MAX_CHANNELS = 256
MAX_VALUES = 100_000_000  # 12 leads for 4.6 hours at 500 Hz
_DEFAULT_GAIN = 200.0
_DEFAULT_FS_HZ = 250.0
_UNITS_PER_MV = {"mv": 1.0, "v": 1e-3, "uv": 1e3, "µv": 1e3, "μv": 1e3, "nv": 1e6}

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RECORD_LINE = re.compile(
    r"(?P<name>[^\s/]+)(?:/(?P<segments>\d+))?[ \t]+(?P<signals>\d+)"
    rf"(?:[ \t]+(?P<fs>{_NUMBER})(?:/{_NUMBER})?(?:\({_NUMBER}\))?(?:[ \t]+(?P<samples>\d+))?)?"
    r"(?:[ \t].*)?"
)
_SIGNAL_LINE = re.compile(
    r"(?P<file>\S+)[ \t]+(?P<format>\d+)(?:x(?P<frame>\d+))?(?::(?P<skew>\d+))?"
    r"(?:\+(?P<offset>\d+))?"
    rf"(?:[ \t]+(?P<gain>{_NUMBER})(?:\((?P<baseline>[-+]?\d+)\))?(?:/(?P<unit>\S+))?"
    r"(?:[ \t]+(?P<resolution>\d+)(?:[ \t]+(?P<zero>[-+]?\d+)(?:[ \t]+(?P<initial>[-+]?\d+)"
    r"(?:[ \t]+(?P<checksum>[-+]?\d+)(?:[ \t]+(?P<block>\d+)(?:[ \t]+(?P<name>.*\S))?"
    r")?)?)?)?)?)?[ \t]*"
)


@dataclass(frozen=True, slots=True)
class SignalLine:
    """One signal of a header; ``baseline`` is the step that means 0 mV."""

    file: str
    format: str
    samples_per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str
    initial: int | None
    checksum: int | None
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
        size = path.stat().st_size
        content = b"" if size > MAX_HEADER_BYTES else path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
    if size == 0 or size > MAX_HEADER_BYTES:
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
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip() and line[0] != "#"]
    first = _RECORD_LINE.fullmatch(lines[0].strip()) if lines else None
    if first is None:
        return None
    num_signals = _count(first["signals"])
    num_samples = None if first["samples"] is None else _count(first["samples"])
    check_counts(num_signals, num_samples, path)
    if first["segments"] is not None or len(lines) - 1 < num_signals:
        return None
    matches = [_SIGNAL_LINE.fullmatch(line.strip()) for line in lines[1 : num_signals + 1]]
    signals = tuple(_signal(match) for match in matches if match is not None)
    if len(signals) < num_signals:
        return None
    fs_hz = float(first["fs"]) if first["fs"] else _DEFAULT_FS_HZ
    check_rate(fs_hz, path)
    for signal in signals:
        check_gain(signal.name, signal.gain, path)
    # A length of 0 means "unknown" in WFDB.
    return Header(fs_hz, num_samples or None, signals)


def _count(text: str) -> int:
    """Return an integer; texts of more digits than any recording needs become a huge number."""
    return int(text) if len(text) < 18 else MAX_VALUES + 1


def _signal(match: re.Match[str]) -> SignalLine:
    zero = _count_signed(match["zero"]) or 0
    baseline = _count_signed(match["baseline"])
    return SignalLine(
        file=match["file"],
        format=match["format"],
        samples_per_frame=_count(match["frame"] or "1"),
        skew=_count(match["skew"] or "0"),
        offset=_count(match["offset"] or "0"),
        gain=float(match["gain"]) if match["gain"] else _DEFAULT_GAIN,
        baseline=zero if baseline is None else baseline,
        unit=match["unit"] or "mV",
        initial=_count_signed(match["initial"]),
        checksum=_count_signed(match["checksum"]),
        name=match["name"] or "",
    )


def _count_signed(text: str | None) -> int | None:
    if text is None:
        return None
    return int(text) if len(text) < 18 else MAX_VALUES + 1


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
    """Refuse a rate that is no rate."""
    if not fs_hz or not math.isfinite(fs_hz) or not 1e-3 <= fs_hz <= 1e6:
        raise RecordError(f"{path}: sampling rate {fs_hz}; expected a number above 0 Hz")


def check_gain(lead: str, gain: float, path: Path) -> None:
    """Refuse gains that cannot be: zero, NaN, or beyond every real recorder."""
    if not (math.isfinite(gain) and 1e-3 <= abs(gain) <= 1e9):
        raise RecordError(
            f"{path}: lead {lead} has a gain of {gain:g} steps per unit; correct the header"
        )


def check_file_name(name: str, path: Path) -> None:
    """Refuse signal file names that point outside the header's folder."""
    target = path.parent / name
    inside = name not in ("", ".", "..", "~") and "/" not in name and "\\" not in name
    if inside and target.is_symlink():
        inside = target.resolve().parent == path.parent.resolve()
    if not inside:
        raise RecordError(
            f"{path} names the signal file {name!r}; expected a file in the header's own folder"
        )
    if not target.is_file():
        raise RecordError(f"{path} names the signal file {name!r}, which is not there; copy it too")


def check_size(target: Path, wanted: int, num_samples: int, path: Path) -> None:
    """Refuse a signal file that is shorter than its header says, or more than twice as long."""
    have = target.stat().st_size
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
