"""MATLAB 5 ``.mat`` files as fairseq-signals writes them, and only their numbers and texts.

Own parser: cells, structures and objects are passed over unread, nothing is ever executed, and no
size in the file is believed before the bytes are seen. Format: MathWorks, "MAT-File Level 5".
Layout of the recordings: ``feats`` (L, T), ``curr_sample_rate``; standardised files also carry
``mean`` and ``std`` (L, 1), which bring them back to mV (fact sheet ecg-fm 1.3).
"""

import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.array_checks import (
    check_shape,
    read_bounded,
    read_sidecar,
    scalar,
    to_float32,
)
from ecg_fairseq.records.readers.wfdb_header import check_rate
from ecg_fairseq.records.record import EcgRecord, Origin, named_record
from ecg_fairseq.signal.leads import CANONICAL_LEADS

MAGIC = b"MATLAB 5.0 MAT-file"
MAX_BYTES = 1 << 30
_HEADER_BYTES = 128
_ROOM_BYTES = 24 << 20
_MOST_GROWTH = 3
_MOST_LETTERS = 200
_MATRIX, _COMPRESSED = 14, 15
_CHAR_CLASS, _COMPLEX_FLAG = 4, 0x800
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
_STORED |= {13: "u8", 16: "u1", 17: "u2", 18: "u4"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_CLASSES |= {14: "i8", 15: "u8"}


@dataclass(frozen=True, slots=True)
class _Element:
    kind: int
    data: memoryview
    next_place: int


class _Damaged(Exception):
    """The file contradicts its own format; turned into a RecordError with the path."""


def read_matlab5(path: Path) -> dict[str, np.ndarray]:
    """Return the numeric arrays and texts of a file by name; other variables are passed over.

    Texts are 0-dimensional string arrays.

    Raises:
        RecordError: it is missing, damaged, truncated, or unpacks to far more than it is.
    """
    content = read_bounded(path, MAX_BYTES, "MATLAB 5 file")
    try:
        return dict(_variables(content))
    except (_Damaged, struct.error, zlib.error) as error:
        raise RecordError(
            f"{path} is not a whole MATLAB 5 file: {error}; copy it again or leave it out"
        ) from error


def _variables(content: bytes) -> list[tuple[str, np.ndarray]]:
    orders = {b"IM": "<", b"MI": ">"}
    if not content.startswith(MAGIC) or content[126:_HEADER_BYTES] not in orders:
        raise _Damaged("its first 128 bytes are not the header of one")
    order = orders[content[126:_HEADER_BYTES]]
    view, place, found = memoryview(content), _HEADER_BYTES, []
    room = _ROOM_BYTES + _MOST_GROWTH * len(content)
    while place < len(view):
        element = _element(view, place, order)
        place = element.next_place
        if element.kind == _COMPRESSED:
            unpacked = _unpack(element.data, room)
            room -= len(unpacked)
            element = _element(memoryview(unpacked), 0, order)
        if element.kind == _MATRIX:
            variable = _matrix(element.data, order)
            found += [] if variable is None else [variable]
    return found


def _unpack(data: memoryview, most_bytes: int) -> bytes:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, most_bytes + 1)
    if len(unpacked) > most_bytes:
        raise _Damaged("a compressed variable unpacks to far more than a recording needs")
    if not unpacker.eof:
        raise _Damaged("a compressed variable is cut off")
    return unpacked


def _element(view: memoryview, place: int, order: str) -> _Element:
    """Return the data element that starts at ``place``; padding is stepped over."""
    if place + 8 > len(view):
        raise _Damaged("it ends within the tag of a data element")
    kind, size = struct.unpack_from(f"{order}II", view, place)
    if kind >> 16:
        kind, size, start, after = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        if size > 4:
            raise _Damaged(f"a small data element claims {size} bytes")
    else:
        start = place + 8
        # Compressed variables stand without padding.
        after = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)
    if start + size > len(view):
        raise _Damaged(f"a data element of {size} bytes goes beyond its end")
    return _Element(kind, view[start : start + size], after)


def _matrix(data: memoryview, order: str) -> tuple[str, np.ndarray] | None:
    """Return (name, array) of a matrix of real numbers or text with two axes; None of others."""
    flags = _element(data, 0, order)
    if len(flags.data) < 4:
        raise _Damaged("a variable has no array flags")
    word = struct.unpack_from(f"{order}I", flags.data)[0]
    kind = word & 0xFF
    if (kind not in _CLASSES and kind != _CHAR_CLASS) or word & _COMPLEX_FLAG:
        return None
    sizes = _element(data, flags.next_place, order)
    shape = tuple(int(size) for size in _numbers(sizes, order))
    name = _element(data, sizes.next_place, order)
    text = bytes(name.data).decode("latin-1")
    if len(shape) > 2:
        return None
    if len(shape) != 2 or min(shape) < 0:
        raise _Damaged(f"variable {text[:40]!r} has the size {shape[:8]}")
    values = _numbers(_element(data, name.next_place, order), order)
    if values.size != math.prod(shape):
        raise _Damaged(f"variable {text[:40]!r} holds {values.size} values, its size is {shape}")
    if kind == _CHAR_CLASS:
        shown = values[:_MOST_LETTERS].astype(np.int64) & 0xFFFF if shape[0] == 1 else ()
        return text, np.array("".join(map(chr, shown)))
    wanted = np.dtype(order + _CLASSES[kind])
    if values.dtype != wanted:
        with np.errstate(all="ignore"):
            values = values.astype(wanted)
    return text, values.reshape(shape, order="F")


def _numbers(element: _Element, order: str) -> np.ndarray:
    form = _STORED.get(element.kind)
    if form is None or len(element.data) % np.dtype(form).itemsize:
        raise _Damaged(f"numbers of type {element.kind} in {len(element.data)} bytes")
    return np.frombuffer(element.data, dtype=order + form)


def read_fairseq_signals(
    path: Path, record_id: str | None = None, patient_id: str | None = None
) -> EcgRecord:
    """Read a recording of fairseq-signals: original, preprocessed or segmented, in mV.

    Twelve rows are the canonical leads; for another number a sidecar ``NAME.json`` with ``leads``
    is needed. Leads that were absent stay NaN, as that project marks them.

    Raises:
        RecordError: the file is damaged, or rate, sizes and leads contradict each other.
    """
    stored = read_signal_arrays(path)
    arrays, num_samples = stored.arrays, stored.feats.shape[1]
    if "curr_sample_size" in arrays:
        size = scalar(arrays["curr_sample_size"], "curr_sample_size", path)
        # A segment may keep the size of the recording that it was cut from.
        if size != num_samples and "segment_i" not in arrays:
            raise RecordError(
                f"{path}: feats has {num_samples} samples, curr_sample_size says {size:g}; "
                "make the file again"
            )
    name = record_id or path.stem
    patient = patient_id or _text(arrays.get("patient_id")) or name
    signal = to_float32(_in_millivolts(stored.feats, arrays, path))
    origin = Origin(name, patient, str(path))
    return named_record(signal, stored.leads, stored.fs_hz, origin)


@dataclass(frozen=True)
class SignalArrays:
    """The variables of a file of fairseq-signals.

    Attributes:
        feats: (L, T) as it is stored.
        leads: names of its rows; an inverted lead as ``-aVR``.
        fs_hz: ``curr_sample_rate``.
        arrays: all variables.
    """

    feats: np.ndarray
    leads: tuple[str, ...]
    fs_hz: float
    arrays: dict[str, np.ndarray]


def read_signal_arrays(path: Path) -> SignalArrays:
    """Read and check what every file of fairseq-signals holds.

    Raises:
        RecordError: the file is damaged, no such file, or its leads have no names.
    """
    arrays = read_matlab5(path)
    feats, rate = arrays.get("feats"), arrays.get("curr_sample_rate")
    if feats is None or rate is None or feats.dtype.kind not in "fiu":
        raise RecordError(
            f"{path} holds {', '.join(sorted(arrays)) or 'no variables'}; expected feats (leads, "
            "samples) and curr_sample_rate, as fairseq-signals writes them"
        )
    num_leads, num_samples = feats.shape
    check_shape(num_leads, num_samples, path)
    fs_hz = scalar(rate, "curr_sample_rate", path)
    check_rate(fs_hz, path)
    leads = CANONICAL_LEADS if num_leads == len(CANONICAL_LEADS) else read_sidecar(path).leads
    if leads is None or len(leads) != num_leads:
        raise RecordError(
            f'{path} has {num_leads} leads; name them in {path.stem}.json: {{"leads": ["I", ...]}}'
        )
    return SignalArrays(feats, leads, fs_hz, arrays)


def _in_millivolts(feats: np.ndarray, arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    """Undo the standardisation of a preprocessed file; float64 where there was one."""
    mean, std = arrays.get("mean"), arrays.get("std")
    if mean is None and std is None:
        return feats
    if mean is None or std is None or {mean.size, std.size} != {feats.shape[0]}:
        raise RecordError(
            f"{path}: mean and std do not have one value for each of {feats.shape[0]} leads"
        )
    with np.errstate(all="ignore"):
        return feats * std.reshape(-1, 1).astype(float) + mean.reshape(-1, 1).astype(float)


def _text(value: np.ndarray | None) -> str:
    """Return an id that is stored as text or as one number; empty when there is none."""
    if value is None or value.size != 1:
        return ""
    item = value.ravel()[0]
    return str(item) if value.dtype.kind == "U" else f"{item:g}" if np.isfinite(item) else ""
