"""What a manifest says about its records beside ``y.npy``: targets of any kind, further tensors.

``labels/targets.npz``: ``kind`` (``binary``, ``real`` or ``survival``) with ``values`` (N, K), or
with ``time_days`` float32 (N,) and ``event`` uint8 (N,); ``names`` of the K values where known.
``extra/NAME.safetensors``: one tensor of N rows. Row i of each is of line i of ``records.tsv``, so
both carry the SHA-256 of that table: another table, even the same sorted otherwise, is refused.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import atomic_write, sha256_of_file

TARGETS_FILE = "targets.npz"
EXTRA_FOLDER = "extra"
KINDS = ("binary", "real", "survival")
RECORDS_KEY = "records_sha256"
RECORDS_FILE = "records.tsv"
# Types of safetensors that numpy knows.
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?",
}  # fmt: skip
_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of the records of a manifest.

    Attributes:
        kind: one of ``KINDS``.
        values: float32 (N, K); of survival (N, 2): days until event or last contact, and whether
            the event was seen, 1 or 0. A row with NaN is of a record without targets.
        names: of the K columns; empty where the file does not say them.
    """

    kind: str
    values: np.ndarray
    names: tuple[str, ...] = ()


def read_targets(path: Path, manifest: Path | None = None) -> Targets:
    """Read ``targets.npz``.

    Args:
        path: the file.
        manifest: folder whose records it must be of; None checks nothing.

    Raises:
        ManifestError: it is missing, damaged, of another table of records, or holds other numbers
            than its kind allows.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as error:
        # numpy and zipfile raise almost every built-in exception on damaged files.
        raise ManifestError(f"targets {path} cannot be read: {error}") from error
    kind = str(arrays.get("kind", ""))
    if kind not in KINDS:
        raise ManifestError(f"{path} is of kind {kind!r}; expected one of {', '.join(KINDS)}")
    if manifest is not None:
        _check_records(path, str(arrays.get(RECORDS_KEY, "")), manifest)
    needed = ("time_days", "event") if kind == "survival" else ("values",)
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise ManifestError(f"{path} of kind {kind} lacks {' and '.join(missing)}")
    if kind == "survival":
        values = _survival(path, arrays["time_days"], arrays["event"])
    else:
        values = _matrix(path, kind, arrays["values"])
    if manifest is not None:
        _check_rows(path, values.shape, manifest)
    names = tuple(str(name) for name in arrays.get("names", ()))
    if names and len(names) != values.shape[1]:
        raise ManifestError(f"{path} names {len(names)} values and holds {values.shape[1]}")
    return Targets(kind, values, names)


def write_targets(path: Path, targets: Targets, manifest: Path) -> None:
    """Write ``targets.npz`` for the records of a manifest folder.

    Raises:
        EcgError: it cannot be written, or the manifest has no table of records.
    """
    arrays: dict[str, Any] = {"kind": targets.kind, RECORDS_KEY: records_sha256(manifest)}
    if targets.kind == "survival":
        arrays["time_days"] = targets.values[:, 0].astype(np.float32)
        event = np.nan_to_num(targets.values[:, 1])
        arrays["event"] = event.astype(np.uint8)
    else:
        arrays["values"] = targets.values
    if targets.names:
        arrays["names"] = np.array(targets.names)
    with atomic_write(path, "wb") as stream:
        np.savez(stream, **arrays)


def records_sha256(manifest: Path) -> str:
    """Return the SHA-256 of a manifest's table of records; ManifestError without one."""
    try:
        return sha256_of_file(manifest / RECORDS_FILE)
    except OSError as error:
        raise ManifestError(f"{manifest / RECORDS_FILE} cannot be read: {error}") from error


def read_extra_tensor(manifest: Path, name: str) -> np.ndarray:
    """Open a further tensor of a manifest, mapped: (N, ...), row i of line i of ``records.tsv``.

    Raises:
        ManifestError: there is none of that name, or it is damaged or of another table of records.
    """
    folder = manifest / EXTRA_FOLDER
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        found = sorted(file.stem for file in folder.glob("*.safetensors"))
        raise ManifestError(
            f"{path} does not exist; the manifest has extra tensors: {', '.join(found) or 'none'}"
        )
    header, start = _safetensors_header(path)
    metadata = header.pop("__metadata__", None) or {}
    _check_records(path, str(metadata.get(RECORDS_KEY, "")), manifest)
    if len(header) != 1:
        raise ManifestError(
            f"{path} holds {len(header)} tensors ({', '.join(sorted(header)[:8])}); expected one"
        )
    tensor = _mapped(path, next(iter(header.values())), start)
    _check_rows(path, tensor.shape, manifest)
    return tensor


def write_extra_tensor(manifest: Path, name: str, values: np.ndarray) -> None:
    """Write a further tensor (N, ...) for the records of a manifest folder.

    Raises:
        EcgError: it cannot be written, or the manifest has no table of records.
    """
    from safetensors.numpy import save

    metadata = {RECORDS_KEY: records_sha256(manifest)}
    content = save({name: np.ascontiguousarray(values)}, metadata=metadata)
    with atomic_write(manifest / EXTRA_FOLDER / f"{name}.safetensors", "wb") as stream:
        stream.write(content)


def _check_records(path: Path, given: str, manifest: Path) -> None:
    own = records_sha256(manifest)
    if given != own:
        told = f"of the table of records {given[:12]}" if given else "of no table of records"
        raise ManifestError(
            f"{path} is {told}, {manifest / RECORDS_FILE} has the hash {own[:12]}: its rows are of "
            "other records; make it anew for this manifest"
        )


def _check_rows(path: Path, shape: tuple[int, ...], manifest: Path) -> None:
    with open(manifest / RECORDS_FILE, "rb") as stream:
        num_records = sum(1 for _ in stream) - 1
    if shape[:1] != (num_records,):
        raise ManifestError(
            f"{path} holds an array of shape {shape}; expected one row for each of the "
            f"{num_records} records of {manifest / RECORDS_FILE}"
        )


def _survival(path: Path, time_days: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Return float32 (N, 2); ManifestError when these are no times and events."""
    is_numbers = all(array.dtype.kind in "biuf" and array.ndim == 1 for array in (time_days, event))
    if not is_numbers or len(time_days) != len(event):
        raise ManifestError(
            f"{path}: time_days has shape {time_days.shape}, event {event.shape}; expected numbers "
            "(records,) in both"
        )
    known = ~np.isnan(time_days.astype(np.float64))
    if not np.isin(event[known], (0, 1)).all() or not _is_finite(time_days[known], low=0.0):
        raise ManifestError(
            f"{path}: expected time_days from 0, NaN where unknown, and event 0 or 1"
        )
    values = np.stack([time_days, event], axis=1).astype(np.float32)
    values[~known] = np.nan
    return values


def _matrix(path: Path, kind: str, values: np.ndarray) -> np.ndarray:
    """Return float32 (N, K); ManifestError when these are no values of a kind."""
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not values.shape[1]:
        raise ManifestError(
            f"{path}: values hold {values.dtype} of shape {values.shape}; expected numbers "
            "(records, values)"
        )
    values = values.astype(np.float32)
    known = values[~np.isnan(values)]
    if not _is_finite(known) or (kind == "binary" and not np.isin(known, (0, 1)).all()):
        wanted = "0 and 1" if kind == "binary" else "finite numbers"
        raise ManifestError(f"{path}: {kind} values are {wanted}, NaN where unknown")
    return values


def _is_finite(values: np.ndarray, low: float = -math.inf) -> bool:
    return bool(np.isfinite(values).all() and (values >= low).all())


def _safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file and where its data start."""
    try:
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(stream.read(length))
        if not isinstance(header, dict):
            raise ValueError("its header is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{path} cannot be read as safetensors: {error}") from error
    return header, 8 + length


def _mapped(path: Path, described: Any, start: int) -> np.ndarray:
    """Return a tensor of a safetensors file, mapped read-only."""
    try:
        dtype = np.dtype(_DTYPES[described["dtype"]])
        shape = tuple(int(size) for size in described["shape"])
        first, last = (int(offset) for offset in described["data_offsets"])
        num_bytes = math.prod(shape) * dtype.itemsize
        if min((first, *shape)) < 0 or last - first != num_bytes:
            raise ValueError(f"{last - first} bytes for {shape} of {dtype}")
        if num_bytes == 0:
            return np.zeros(shape, dtype=dtype)
        mapped = np.memmap(path, dtype=dtype, mode="r", offset=start + first, shape=shape)
        # A header of any length may stand before the numbers; those at odd places are copied.
        return np.require(mapped, requirements=["ALIGNED"])
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ManifestError(
            f"{path} cannot be read as safetensors of numbers ({error!r}); make it anew"
        ) from error
