"""CODE-15% HDF5 parts: ``tracings`` (N, T, 12) at 400 Hz and ``exam_id`` (N,).

One recording is addressed as ``exams_part0.hdf5:ROW``. The shorter exams are filled up with zeros
at both ends, and every part ends with one row of zeros; the filling is taken off again, the empty
row refused. Values are taken as mV, as fairseq-signals does (fact sheet ecg-fm 1.4).
A sidecar ``NAME.json`` may state other ``leads``, ``fs_hz`` and ``unit``.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.array_checks import check_shape, read_sidecar, to_float32
from ecg_fairseq.records.record import EcgRecord, Origin, named_record
from ecg_fairseq.signal.leads import CANONICAL_LEADS

MAGIC = b"\x89HDF\r\n\x1a\n"
TRACINGS, EXAM_IDS = "tracings", "exam_id"
FS_HZ = 400.0
_MAX_ROWS = 10_000_000
_ROOM_BYTES = 16 << 20  # what a piece or a row may take however small the file is
_ADDRESS = re.compile(r"(.+):(\d{1,9})", re.DOTALL)


def split_address(path: Path) -> tuple[Path, int | None]:
    """Return (file, row) of ``FILE:ROW``; the row is None when the name has none."""
    match = _ADDRESS.fullmatch(str(path))
    if match is None or not Path(match[1]).is_file():
        return path, None
    return Path(match[1]), int(match[2])


def is_hdf5(path: Path | str) -> bool:
    """Say whether a file begins as an HDF5 file does."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_code15(
    path: Path, row: int | None, record_id: str | None = None, patient_id: str | None = None
) -> EcgRecord:
    """Read one row of a CODE-15% part.

    Args:
        row: may be None when the file holds one recording only.
        record_id: default: the row's exam id.

    Raises:
        RecordError: no such row, another layout, an empty row, or a damaged file.
    """
    import h5py

    _check_superblock(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            tracings = _dataset(file, TRACINGS, 3, path)
            index = _row(tracings, row, path)
            exam_id = _exam_id(file, index, tracings, path)
            signal = np.asarray(tracings[index])
    except RecordError:
        raise
    except Exception as error:
        # h5py raises almost every built-in exception on damaged files.
        raise _unreadable(path, error) from error
    return _record(signal, path, index, record_id or exam_id, patient_id)


def read_exam_ids(path: Path) -> np.ndarray:
    """Return the exam ids of a CODE-15% part, int64 (N,), row by row.

    Raises:
        RecordError: another layout, or a damaged file.
    """
    import h5py

    _check_superblock(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            tracings = _dataset(file, TRACINGS, 3, path)
            return np.asarray(_exam_ids(file, tracings, path), dtype=np.int64)
    except RecordError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> RecordError:
    return RecordError(
        f"{path} cannot be read as HDF5: {type(error).__name__}: {str(error)[:200]}; download it "
        "again"
    )


def _check_superblock(path: Path) -> None:
    """Compare the end of the file that the superblock states with the real one."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as stream:
            start = stream.read(96)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
    version = start[8] if start.startswith(MAGIC) and len(start) == 96 else -1
    place = {0: 40, 1: 44, 2: 28, 3: 28}.get(version)
    if place is None:
        raise RecordError(f"{path} has {size} bytes and is not a whole HDF5 file; copy it again")
    stated = int.from_bytes(start[place : place + 8], "little")
    if stated > size:
        raise RecordError(f"{path} has {size} bytes of {stated}: it is cut off; download it again")


def _dataset(file: Any, name: str, num_axes: int, path: Path) -> Any:
    """Return a data set that lies in this very file, is numeric and of believable size."""
    import h5py

    link = file.get(name, getlink=True)
    item = file.get(name) if isinstance(link, h5py.HardLink) else None
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        raise RecordError(
            f"{path} has no data set {name!r} of its own; expected the layout of CODE-15%: "
            f"{TRACINGS} (exams, samples, 12) and {EXAM_IDS}"
        )
    if item.ndim != num_axes or item.dtype.kind not in "fiu" or not 0 < item.shape[0] <= _MAX_ROWS:
        raise RecordError(
            f"{path}: {name} holds {item.dtype} of shape {item.shape}; expected numbers with "
            f"{num_axes} axes"
        )
    stored = item.id.get_storage_size()
    chunk = np.prod(item.chunks, dtype=float) * item.dtype.itemsize if item.chunks else 0.0
    row = np.prod(item.shape[1:], dtype=float) * item.dtype.itemsize
    if max(chunk, row) > _ROOM_BYTES + stored:
        raise RecordError(
            f"{path}: {name} has rows of {row:.0f} bytes in pieces of {chunk:.0f} bytes, of which "
            f"{stored} are stored; store it anew"
        )
    if not item.chunks and stored > path.stat().st_size:
        raise RecordError(f"{path}: {name} is larger than the file; download it again")
    return item


def _row(tracings: Any, row: int | None, path: Path) -> int:
    total, num_samples, num_leads = tracings.shape
    check_shape(num_leads, num_samples, path)
    if row is None and total == 1:
        return 0
    if row is None or not 0 <= row < total:
        given = "no row" if row is None else f"row {row}"
        raise RecordError(
            f"{path} holds {total} recordings and {given} was asked for; name one of them as "
            f"{path.name}:0 to {path.name}:{total - 1}"
        )
    return row


def _exam_id(file: Any, row: int, tracings: Any, path: Path) -> str:
    if file.get(EXAM_IDS, getlink=True) is None:
        return f"{path.stem}:{row}"
    return str(int(_exam_ids(file, tracings, path)[row]))


def _exam_ids(file: Any, tracings: Any, path: Path) -> Any:
    """Return the checked data set of exam ids, one for each tracing."""
    exam_ids = _dataset(file, EXAM_IDS, 1, path)
    if exam_ids.shape[0] != tracings.shape[0] or exam_ids.dtype.kind not in "iu":
        raise RecordError(
            f"{path}: {exam_ids.shape[0]} values of {exam_ids.dtype} in {EXAM_IDS} for "
            f"{tracings.shape[0]} recordings; download it again"
        )
    return exam_ids


def _record(
    values: np.ndarray, path: Path, row: int, record_id: str, patient_id: str | None
) -> EcgRecord:
    sidecar = read_sidecar(path)
    leads = sidecar.leads or CANONICAL_LEADS
    if len(leads) != values.shape[1]:
        raise RecordError(
            f"{path}: {values.shape[1]} leads, expected {len(leads)}; name them in "
            f'{sidecar.path.name}: {{"leads": ["I", ...]}}'
        )
    used = np.flatnonzero((values != 0).any(axis=1))
    if not used.size:
        raise RecordError(
            f"{path}: row {row} is all zeros, as the filling row at the end of a CODE-15% part"
        )
    signal = to_float32(values[used[0] : used[-1] + 1].T)
    if sidecar.unit_mv != 1.0:
        signal *= np.float32(sidecar.unit_mv)
    fs_hz = sidecar.fs_hz or FS_HZ
    origin = Origin(record_id, patient_id or record_id, f"{path}:{row}")
    return named_record(signal, leads, fs_hz, origin)
