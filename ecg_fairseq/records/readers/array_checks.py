"""Reading of foreign files with a limit on what they may ask for; and the small sidecar of arrays.

A sidecar ``NAME.json`` beside ``NAME.npy`` or ``NAME.csv`` names the leads and the rate:
``{"leads": ["I", "II", ...], "fs_hz": 500, "unit": "mV"}``; the unit may be left out.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.files import read_json
from ecg_fairseq.records.readers.wfdb_header import (
    LOWEST_FS_HZ,
    MAX_CHANNELS,
    MAX_VALUES,
    millivolts_per_unit,
)
from ecg_fairseq.signal.leads import lead_and_sign

MAX_SIDECAR_BYTES = 1 << 20


def read_bounded(path: Path, most_bytes: int, what: str) -> bytes:
    """Return a file's bytes.

    Args:
        most_bytes: a larger file is refused before it is read.
        what: what the file is, for the message (``"MUSE XML file"``).

    Raises:
        RecordError: it is missing, empty or too large.
    """
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            content = stream.read(size) if size <= most_bytes else b""
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
    if not content:
        raise RecordError(f"{path} has {size} bytes; a {what} has 1 to {most_bytes}")
    return content


def check_shape(num_leads: int, num_samples: int, path: Path) -> None:
    """Refuse a number of leads or samples that no recording has; RecordError."""
    if not 0 < num_leads <= MAX_CHANNELS or num_samples <= 0:
        raise RecordError(
            f"{path}: {num_leads} leads of {num_samples} samples; expected 1 to {MAX_CHANNELS} "
            "leads and at least one sample"
        )
    if num_leads * num_samples > MAX_VALUES:
        raise RecordError(
            f"{path}: {num_leads} leads of {num_samples} samples; expected at most {MAX_VALUES} "
            "values in all; cut the recording into pieces"
        )


def to_float32(values: np.ndarray) -> np.ndarray:
    """Return contiguous float32; values beyond its range become Inf without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, dtype=np.float32)


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar says; ``leads`` and ``fs_hz`` are None where it is silent."""

    path: Path
    leads: tuple[str, ...] | None = None  # an inverted lead as -aVR
    fs_hz: float | None = None
    unit_mv: float = 1.0


def read_sidecar(path: Path) -> Sidecar:
    """Read ``NAME.json`` beside ``path``; a sidecar that is not there says nothing.

    Raises:
        RecordError: it is damaged, or an entry is not what it should be.
    """
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        return Sidecar(sidecar)
    read_bounded(sidecar, MAX_SIDECAR_BYTES, f"sidecar of {path.name}")
    value: Any = read_json(sidecar, RecordError, f"sidecar of {path.name}")
    if not isinstance(value, dict):
        raise RecordError(
            f'{sidecar}: expected {{"leads": ["I", "II", ...], "fs_hz": 500}}, the names of the '
            "array's leads and their rate"
        )
    leads, fs_hz, unit = value.get("leads"), value.get("fs_hz"), value.get("unit", "mV")
    if leads is not None and not (
        isinstance(leads, list) and leads and all(isinstance(lead, str) for lead in leads)
    ):
        raise RecordError(f"{sidecar}: leads {leads!r}; expected a list of names")
    is_number = isinstance(fs_hz, int | float) and not isinstance(fs_hz, bool)
    if fs_hz is not None and not (is_number and LOWEST_FS_HZ <= fs_hz <= 1e6):
        raise RecordError(
            f"{sidecar}: fs_hz {fs_hz!r}; expected samples a second, {LOWEST_FS_HZ:g} or more"
        )
    try:
        unit_mv = millivolts_per_unit(str(unit))
        names = None if leads is None else signed_leads(leads)
    except RecordError as error:
        raise RecordError(f"{sidecar}: {error}") from error
    return Sidecar(sidecar, names, None if fs_hz is None else float(fs_hz), unit_mv)


def signed_leads(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of leads in their canonical spelling, an inverted lead as ``-aVR``.

    Raises:
        RecordError: a name is unknown, or two are of one lead.
    """
    pairs = [lead_and_sign(name) for name in names]
    doubled = sorted({lead for lead, _ in pairs if [name for name, _ in pairs].count(lead) > 1})
    if doubled:
        raise RecordError(
            f"lead {', '.join(doubled)} occurs more than once in {', '.join(names)}; "
            "every lead must occur once"
        )
    return tuple(lead if sign > 0 else f"-{lead}" for lead, sign in pairs)


def scalar(value: object, what: str, path: Path) -> float:
    """Return the one finite number of an array of any shape, or of a text.

    Raises:
        RecordError: there is not exactly one, or it is not finite.
    """
    try:
        array = np.asarray(value, dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.size != 1 or not math.isfinite(array[0]):
        raise RecordError(f"{path}: {what} is {str(value)[:40]!r}; expected one number")
    return float(array[0])
