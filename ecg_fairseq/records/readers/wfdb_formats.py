"""Samples of WFDB formats 16, 32 and 212 straight through numpy; equal to the wfdb package's."""

from pathlib import Path

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.challenge_mat import HEAD_BYTES, check_head
from ecg_fairseq.records.readers.wfdb_header import (
    Header,
    SignalLine,
    check_size,
    find_signal_file,
    millivolts_per_unit,
)

FORMATS = ("16", "32", "212")
_INVALID = {"16": -32768, "32": -(2**31), "212": -2048}
_WHOLE = {"16": "<i2", "32": "<i4"}


def is_fast(header: Header) -> bool:
    """Say whether all signals lie interleaved in one file of a format that is read here."""
    first = header.signals[0]
    form = (first.file, first.format, 1, 0, first.offset)
    return (
        header.num_samples is not None
        and first.format in FORMATS
        and all(signal[:5] == form for signal in header.signals)
    )


def read_fast(header: Header, path: Path, has_checksums: bool = False) -> np.ndarray:
    """Return float32 (L, T) in mV; samples marked invalid become NaN.

    Args:
        header: one that :func:`is_fast`.
        path: the header's path.
        has_checksums: compare every signal's samples with the checksum in the header.

    Raises:
        RecordError: the signal file is missing, outside the folder, too short, or damaged.
    """
    steps = _read_steps(header, path)
    if has_checksums:
        check_samples(steps, header.signals, path)
    mark = _INVALID[header.signals[0].format]
    by_lead = np.ascontiguousarray(steps.T)
    invalid = by_lead == mark if by_lead.min() == mark else None
    # Steps of 32 bits may be larger than float32 counts exactly.
    dtype = np.dtype(np.float64 if by_lead.dtype.itemsize > 2 else np.float32)
    signal = by_lead.astype(dtype)
    baseline, divisor = _scales(header.signals, dtype)
    if baseline is not None:
        signal -= baseline
    signal /= divisor
    if invalid is not None:
        signal[invalid] = np.nan
    return signal.astype(np.float32, copy=False)


def _scales(
    signals: tuple[SignalLine, ...], dtype: np.dtype
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return baselines (None when all are zero) and steps per mV, both (L, 1)."""
    baselines = [line.baseline for line in signals]
    per_mv = [line.gain / millivolts_per_unit(line.unit) for line in signals]
    baseline = np.array(baselines, dtype=dtype)[:, None] if any(baselines) else None
    return baseline, np.array(per_mv, dtype=dtype)[:, None]


def _read_steps(header: Header, path: Path) -> np.ndarray:
    """Return the stored steps, int16 or int32 (T, L)."""
    first = header.signals[0]
    num_samples = header.num_samples or 0
    count = num_samples * len(header.signals)
    whole = _WHOLE.get(first.format)
    num_bytes = np.dtype(whole).itemsize * count if whole else count // 2 * 3 + count % 2 * 2
    target, size = find_signal_file(first.file, path)
    check_size(target, size, num_bytes + first.offset, num_samples, path)
    with open(target, "rb", buffering=0) as stream:
        if first.offset == HEAD_BYTES:
            check_head(stream.read(HEAD_BYTES), header, target)
        stream.seek(first.offset)
        raw = np.frombuffer(stream.read(num_bytes), dtype=np.uint8)
    if len(raw) != num_bytes:
        raise RecordError(f"{target} gave {len(raw)} of {num_bytes} bytes; copy it again")
    steps = raw.view(whole) if whole else unpack_212(raw, count)
    return steps.reshape(num_samples, len(header.signals))


def unpack_212(raw: np.ndarray, count: int) -> np.ndarray:
    """Return ``count`` signed 12-bit samples, int16, of which two lie in three bytes.

    Args:
        raw: uint8; an odd count ends with a group of two bytes.
    """
    padded = np.zeros((count + 1) // 2 * 3, dtype=np.uint8)
    padded[: len(raw)] = raw
    low, middle, high = padded.reshape(-1, 3).T.astype(np.int16)
    steps = np.empty((len(low), 2), dtype=np.int16)
    # Shifted to the top of 16 bits and back down, which brings the sign along.
    steps[:, 0] = (((middle & 0x0F) << 12) | (low << 4)) >> 4
    steps[:, 1] = (((middle & 0xF0) << 8) | (high << 4)) >> 4
    return steps.ravel()[:count]


def check_samples(steps: np.ndarray, signals: tuple[SignalLine, ...], path: Path) -> None:
    """Compare samples with the checksums of the header, where it has them.

    Raises:
        RecordError: names the first lead that differs.
    """
    sums = steps.astype(np.int64).sum(axis=0)
    for column, signal in enumerate(signals):
        wanted = signal.checksum
        is_number = wanted.lstrip("+-").isdecimal() and len(wanted) < 18
        if wanted and (not is_number or (int(sums[column]) - int(wanted)) % 65536):
            raise RecordError(
                f"{path}: lead {signal.name} does not add up to its checksum {wanted}; the signal "
                "file was changed or damaged: copy the record again"
            )
