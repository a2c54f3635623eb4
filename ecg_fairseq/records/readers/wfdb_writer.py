"""A small fast writer of WFDB records in format 16, as PTB-XL has them.

One ``.dat`` of little-endian int16, samples interleaved, and a header with initial values and
checksums. Reference: the WFDB file format pages header(5) and signal(5) of PhysioNet.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import EcgError, RecordError

NO_SAMPLE = -32768  # WFDB's mark for a missing sample in format 16


def header_text(
    name: str, digital: np.ndarray, fs_hz: int, leads: Sequence[str], units_per_mv: float
) -> str:
    """Return the text of ``NAME.hea``.

    Args:
        name: record name without folder or suffix.
        digital: (L, T) int16.
        fs_hz: sampling rate.
        leads: L lead names as they shall stand in the header.
        units_per_mv: gain.
    """
    lines = [f"{name} {len(leads)} {fs_hz} {digital.shape[1]}"]
    sums = digital.sum(axis=1, dtype=np.int64) & 0xFFFF
    for lead, first, checksum in zip(leads, digital[:, 0], sums, strict=True):
        lines.append(
            f"{name}.dat 16 {units_per_mv:.1f}(0)/mV 16 0 {int(first)} {int(checksum)} 0 {lead}"
        )
    return "\n".join(lines) + "\n"


def write_wfdb_record(
    path: Path | str,
    digital: np.ndarray,
    fs_hz: int,
    leads: Sequence[str],
    units_per_mv: float = 1000.0,
) -> None:
    """Write ``PATH.dat`` and then ``PATH.hea``; each appears whole or not at all.

    Args:
        path: folder and record name without suffix; the folder must exist.
        digital: (L, T) int16, T > 0.
        fs_hz: sampling rate.
        leads: L lead names.
        units_per_mv: gain.

    Raises:
        RecordError: shape, type and lead names do not fit together.
        EcgError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    if digital.ndim != 2 or digital.dtype != np.int16 or digital.shape[0] != len(leads):
        raise RecordError(
            f"{path}: got {digital.dtype} samples of shape {digital.shape} and {len(leads)} lead "
            "names; expected int16 of shape (leads, samples), one name for each row"
        )
    if digital.shape[1] == 0:
        raise RecordError(f"{path}: the signal has no samples; a record needs at least one")
    header = header_text(path.name, digital, fs_hz, leads, units_per_mv)
    try:
        _replace(path, ".dat", np.ascontiguousarray(digital.T, dtype="<i2").tobytes())
        # The header last: a record counts as written when its header stands.
        _replace(path, ".hea", header.encode("ascii"))
    except OSError as error:
        raise EcgError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another "
            "folder, then run the same command again: complete records are kept"
        ) from error


def _replace(path: Path, suffix: str, content: bytes) -> None:
    """Write through a temporary name. No fsync: thousands of files, and each can be verified."""
    temporary = path.with_name(f".{path.name}{suffix}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path.with_name(path.name + suffix))
    finally:
        temporary.unlink(missing_ok=True)


def is_complete(path: Path | str) -> bool:
    """Tell whether a record written by this module stands whole: sizes, first values, checksums.

    Anything unreadable counts as incomplete; the caller then writes the record again.
    """
    path = Path(path)
    try:
        lines = path.with_name(path.name + ".hea").read_text("ascii").splitlines()
        num_leads, num_samples = int(lines[0].split()[1]), int(lines[0].split()[3])
        fields = [line.split() for line in lines[1 : num_leads + 1]]
        content = path.with_name(path.name + ".dat").read_bytes()
        if len(fields) != num_leads or len(content) != 2 * num_leads * num_samples:
            return False
        digital = np.frombuffer(content, dtype="<i2").reshape(num_samples, num_leads)
        sums = digital.sum(axis=0, dtype=np.int64) & 0xFFFF
        first = digital[0]
        return all(
            int(field[5]) == int(value) and int(field[6]) == int(total)
            for field, value, total in zip(fields, first, sums, strict=True)
        )
    except (OSError, ValueError, IndexError):
        return False
