"""WFDB records (``.hea`` + signal file): own fast path for formats 16, 32 and 212, wfdb for others.

The header is inspected first: a damaged one may ask for gigabytes, name a file elsewhere or promise
more samples than the file holds, and wfdb itself would hang, crash or return nonsense.
"""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.challenge_mat import correct_gain
from ecg_fairseq.records.readers.wfdb_formats import is_fast, lead_names, read_fast
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
from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.signal.leads import canonical_leads

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
    header = parse_header(read_header_text(header_path), header_path)
    name = record_id or header_path.stem
    if header is None or not is_fast(header):
        return _read_through_wfdb(header_path, name, patient_id or name)
    try:
        header = correct_gain(header)
        leads = lead_names(header)
        signal = read_fast(header, header_path, has_checksums)
    except OSError as error:
        raise RecordError(f"{header_path}: {error.strerror or error}") from error
    except RecordError as error:
        raise _with_path(error, header_path) from error
    return EcgRecord(signal, leads, header.fs_hz, name, patient_id or name, str(header_path))


def _with_path(error: RecordError, path: Path) -> RecordError:
    return error if str(path.parent) in str(error) else RecordError(f"{path}: {error}")


def _read_through_wfdb(header_path: Path, record_id: str, patient_id: str) -> EcgRecord:
    import wfdb

    name = str(header_path.with_suffix(""))
    try:
        header = wfdb.rdheader(name)
        _check_header(header, header_path)
        record = wfdb.rdrecord(name, smooth_frames=True, physical=True, return_res=64)
    except RecordError:
        raise
    except Exception as error:
        # wfdb raises almost every built-in exception on damaged files.
        raise RecordError(
            f"{header_path} cannot be read as a WFDB record: {type(error).__name__}: {error}; "
            "copy the record again or leave it out"
        ) from error
    return _to_record(record, header_path, record_id, patient_id)


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
    if hasattr(header, "seg_name"):
        _check_segments(header, path)
        return
    if len(header.sig_name or ()) != header.n_sig:
        raise RecordError(
            f"{path}: {header.n_sig} signals announced, {len(header.sig_name or ())} described"
        )
    frames = set(header.samps_per_frame or [1])
    if len(frames) != 1:
        raise RecordError(
            f"{path}: leads of different rates ({sorted(frames)} samples a frame); "
            "resample them to one rate first"
        )
    check_rate(header.fs, path)
    for name in set(header.file_name or ()):
        find_signal_file(name, path)
    _check_sizes(header, path)


def _check_segments(header: Any, path: Path) -> None:
    import wfdb

    for name in set(header.seg_name or ()) - {"~"}:
        find_signal_file(f"{name}.hea", path)
        segment = path.with_name(f"{name}.hea")
        read_header_text(segment)
        inner = wfdb.rdheader(str(segment.with_suffix("")))
        # A segment with segments could name its parent, and wfdb would follow for ever.
        if hasattr(inner, "seg_name"):
            raise RecordError(f"{path}: segment {name} has segments itself; expected one level")
        if inner.sig_len:
            _check_header(inner, segment)


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


def _to_record(record: Any, path: Path, record_id: str, patient_id: str) -> EcgRecord:
    if record.p_signal is None:
        raise RecordError(f"{path}: the record holds no signal")
    num_signals = record.p_signal.shape[1]
    try:
        # wfdb leaves a field None, or a member of it, where the header says nothing.
        leads = canonical_leads([name or "" for name in record.sig_name or ()])
        scales = np.array([millivolts_per_unit(unit or "mV") for unit in record.units or ()])
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error
    if not len(leads) == len(scales) == num_signals:
        raise RecordError(
            f"{path}: {num_signals} signals with {len(leads)} names and {len(scales)} units"
        )
    for lead, gain in zip(leads, record.adc_gain or (), strict=False):
        check_gain(lead, gain or 0.0, path)
    with np.errstate(over="ignore"):
        signal = np.ascontiguousarray((record.p_signal * scales).T, dtype=np.float32)
    return EcgRecord(signal, leads, float(record.fs), record_id, patient_id, str(path))
