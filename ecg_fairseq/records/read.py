"""Reads one recording of any supported format; the format is told by content, not by extension."""

from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.files import read_json
from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.records.wfdb_reader import read_wfdb
from ecg_fairseq.signal.leads import CANONICAL_LEADS, canonical_leads

_NPY_MAGIC = b"\x93NUMPY"
SIDECAR_KEYS = ("leads", "fs_hz")


def read_record(
    path: Path | str, record_id: str | None = None, patient_id: str | None = None
) -> EcgRecord:
    """Read a recording.

    Formats: a WFDB record (header path with or without ``.hea``, or its signal file), and a
    ``.npy`` array (L, T) in mV with a sidecar ``NAME.json`` {"leads": [...], "fs_hz": 500}.

    Raises:
        RecordError: no such file, an unknown format, or damaged content.
    """
    path = Path(path)
    if path.is_dir():
        raise RecordError(f"{path} is a folder; give one record, for instance its .hea file")
    if path.is_file() and _starts_with(path, _NPY_MAGIC):
        return read_npy(path, record_id, patient_id)
    if path.is_file() and path.suffix not in (".hea", ".dat", ".mat"):
        if path.with_name(path.name + ".hea").is_file():
            return read_wfdb(path, record_id, patient_id)
        raise RecordError(
            f"{path} is of an unknown format; expected a WFDB record (.hea with its signal file) "
            "or a .npy array with a .json sidecar"
        )
    return read_wfdb(path, record_id, patient_id)


def _starts_with(path: Path, magic: bytes) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read(len(magic)) == magic
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error


def read_npy(path: Path, record_id: str | None = None, patient_id: str | None = None) -> EcgRecord:
    """Read a ``.npy`` array (L, T) in mV; leads and rate come from ``NAME.json`` beside it.

    Raises:
        RecordError: the sidecar or the array is missing, damaged or contradictory.
    """
    sidecar = path.with_suffix(".json")
    description: Any = read_json(
        sidecar, RecordError, f"sidecar of {path.name} with {' and '.join(SIDECAR_KEYS)}"
    )
    if not isinstance(description, dict) or not all(key in description for key in SIDECAR_KEYS):
        raise RecordError(
            f'{sidecar}: expected {{"leads": ["I", "II", ...], "fs_hz": 500}}, the names of the '
            "array's rows and their rate"
        )
    leads, fs_hz = description["leads"], description["fs_hz"]
    if not isinstance(leads, list) or not all(isinstance(lead, str) for lead in leads):
        raise RecordError(f"{sidecar}: leads {leads!r}; expected a list of names")
    if not isinstance(fs_hz, int | float):
        raise RecordError(f"{sidecar}: fs_hz {fs_hz!r}; expected a number")
    array = open_array(path)
    name = record_id or path.stem
    signal = np.ascontiguousarray(array, dtype=np.float32)
    return EcgRecord(
        signal, canonical_leads(leads), float(fs_hz), name, patient_id or name, str(path)
    )


def open_array(path: Path | str) -> np.ndarray:
    """Map a numeric ``.npy`` file; never unpickles.

    Raises:
        RecordError: it is missing, damaged or not numeric.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise RecordError(f"{path} cannot be read as a numeric .npy array: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise RecordError(f"{path}: expected an array of numbers in mV")
    return array


def parse_leads(text: str | None) -> tuple[str, ...]:
    """Return the leads named in a comma-separated list; the canonical twelve when none is given."""
    return canonical_leads(text.split(",")) if text else CANONICAL_LEADS
