"""WFDB records (``.hea`` + signal file): own fast path for formats 16, 32 and 212, wfdb for others.

The header is inspected first: a damaged one may ask for gigabytes, name a file elsewhere or promise
more samples than the file holds, and wfdb itself would hang, crash or return nonsense. A signal
with several samples a frame is read at its own rate, never averaged; records of several segments:
see wfdb_segments.
"""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.challenge_mat import correct_gain
from ecg_fairseq.records.readers.wfdb_formats import is_fast, read_fast
from ecg_fairseq.records.readers.wfdb_header import (
    check_counts,
    check_gain,
    check_rate,
    check_size,
    find_signal_file,
    millivolts_per_unit,
    parse_header,
    read_header_text,
)
from ecg_fairseq.records.readers.wfdb_segments import parse_segments, read_segments
from ecg_fairseq.records.record import EcgRecord, Origin, named_record

# Bytes a sample of the formats whose files have a fixed size; FLAC formats have none.
BYTES_PER_SAMPLE = {
    "8": 1.0,
    "16": 2.0,
    "24": 3.0,
    "32": 4.0,
    "61": 2.0,
    "80": 1.0,
    "160": 2.0,
    "212": 1.5,
    "310": 4 / 3,
    "311": 4 / 3,
}


def read_wfdb(
    path: Path | str,
    record_id: str | None = None,
    patient_id: str | None = None,
    has_checksums: bool = False,
) -> EcgRecord:
    """Read a WFDB record.

    Args:
        path: the header file, with or without ``.hea``.
        record_id: default: the file's stem.
        patient_id: default: the record id.
        has_checksums: compare samples with the header's checksums (formats 16, 32 and 212 only).

    Raises:
        RecordError: header or signal file is missing, damaged or contradictory, or a lead name,
            gain or unit is unusable.
    """
    header_path = _header_path(path)
    name = record_id or header_path.stem
    origin = Origin(name, patient_id or name, str(header_path))
    text = read_header_text(header_path)
    segments = parse_segments(text, header_path)
    if segments is None:
        return _read_one(header_path, text, origin, has_checksums)

    def read_segment(path: Path) -> EcgRecord:
        return _read_one(path, read_header_text(path), Origin(path.stem, ""), has_checksums)

    return read_segments(segments, read_segment, origin, header_path)


def _read_one(path: Path, text: str, origin: Origin, has_checksums: bool) -> EcgRecord:
    """Read a record of one segment."""
    header = parse_header(text, path)
    if header is None or not is_fast(header):
        return _read_through_wfdb(path, origin)
    try:
        header = correct_gain(header)
        names = [signal.name for signal in header.signals]
        signal = read_fast(header, path, has_checksums)
        return named_record(signal, names, header.fs_hz, origin)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror or error}") from error
    except RecordError as error:
        raise _with_path(error, path) from error


def _with_path(error: RecordError, path: Path) -> RecordError:
    return error if str(path.parent) in str(error) else RecordError(f"{path}: {error}")


def _read_through_wfdb(path: Path, origin: Origin) -> EcgRecord:
    import wfdb

    name = str(path.with_suffix(""))
    try:
        header = wfdb.rdheader(name)
        _check_header(header, path)
        record = wfdb.rdrecord(name, smooth_frames=False, physical=True, return_res=64)
        return _to_record(record, origin)
    except RecordError as error:
        raise _with_path(error, path) from error
    except Exception as error:
        # wfdb raises almost every built-in exception on damaged files.
        raise RecordError(
            f"{path} cannot be read as a WFDB record: {type(error).__name__}: {error}; "
            "copy the record again or leave it out"
        ) from error


def _header_path(path: Path | str) -> Path:
    name = os.fspath(path)
    candidates = [name if name.endswith(".hea") else f"{name}.hea"]
    if name.endswith((".dat", ".mat")):
        candidates.append(f"{name[:-4]}.hea")
    for candidate in candidates:
        if os.path.isfile(candidate):
            return Path(candidate)
    raise RecordError(
        f"WFDB header not found: {candidates[0]}; check the path (a record is a .hea file with its "
        "signal file beside it)"
    )


def _check_header(header: Any, path: Path) -> None:
    check_counts(header.n_sig, header.sig_len, path)
    if len(header.sig_name or ()) != header.n_sig:
        raise RecordError(
            f"{path}: {header.n_sig} signals announced, {len(header.sig_name or ())} described"
        )
    frames = sorted({count or 1 for count in header.samps_per_frame or [1]})
    if len(frames) != 1:
        raise RecordError(
            f"{path}: leads of different rates ({frames} samples a frame); "
            "resample them to one rate first"
        )
    check_counts(header.n_sig, (header.sig_len or 0) * frames[0], path)
    check_rate(header.fs * frames[0], path)
    sizes = [find_signal_file(name, path)[1] for name in set(header.file_name or ())]
    _check_skew(header, max(sizes, default=0), path)
    _check_sizes(header, path)


def _check_skew(header: Any, num_bytes: int, path: Path) -> None:
    """Refuse a skew beyond the record, for which wfdb would ask for any amount of memory."""
    skew = max((abs(value or 0) for value in header.skew or ()), default=0)
    longest = num_bytes if header.sig_len is None else header.sig_len
    if skew and skew >= longest:
        raise RecordError(
            f"{path}: a skew of {skew} samples in a record of {longest}; correct the header"
        )


def _check_sizes(header: Any, path: Path) -> None:
    for name in set(header.file_name):
        rows = [row for row, file in enumerate(header.file_name) if file == name]
        per_sample = [BYTES_PER_SAMPLE.get(str(header.fmt[row])) for row in rows]
        sizes = [size for size in per_sample if size is not None]
        if len(sizes) != len(per_sample) or header.sig_len is None:
            continue
        offset = (header.byte_offset or [0] * len(header.file_name))[rows[0]] or 0
        frame = (header.samps_per_frame or [1])[0]
        wanted = math.floor(sum(sizes) * header.sig_len * frame) + offset
        target, have = find_signal_file(name, path)
        check_size(target, have, wanted, header.sig_len, path)


def _to_record(record: Any, origin: Origin) -> EcgRecord:
    rows = record.e_p_signal
    if rows is None:
        raise RecordError("the record holds no signal")
    # wfdb leaves a field None, or a member of it, where the header says nothing.
    names = [name or "" for name in record.sig_name or ()]
    scales = [millivolts_per_unit(unit or "mV") for unit in record.units or ()]
    if not len(names) == len(scales) == len(rows):
        raise RecordError(f"{len(rows)} signals, {len(names)} names and {len(scales)} units")
    for name, gain in zip(names, record.adc_gain or (), strict=False):
        check_gain(name, gain or 0.0, Path(origin.source))
    signal = np.stack(rows) * np.array(scales)[:, None]
    fs_hz = float(record.fs) * ((record.samps_per_frame or [1])[0] or 1)
    with np.errstate(over="ignore"):
        return named_record(signal, names, fs_hz, origin)
