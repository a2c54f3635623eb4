"""DICOM ECGs (12-lead and general ECG waveform storage) through pydicom, an optional package.

value = step * sensitivity * correction + baseline, in the unit the file names; a channel's skew
moves it in time. Several multiplex groups: see dicom_groups; what a lead is called: see
dicom_leads. Reference: DICOM PS3.3, section C.10.9.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import MissingDependencyError, RecordError
from ecg_fairseq.records.readers.array_checks import check_shape, scalar
from ecg_fairseq.records.readers.dicom_groups import Group, choose_groups, join_groups
from ecg_fairseq.records.readers.dicom_leads import lead_name
from ecg_fairseq.records.readers.wfdb_header import check_gain, check_rate, millivolts_per_unit
from ecg_fairseq.records.record import EcgRecord, Origin, named_record
from ecg_fairseq.signal.leads import lead_and_sign, named_leads

MAGIC, MAGIC_PLACE = b"DICM", 128
MAX_BYTES = 256 << 20
# Storage classes of objects as such, and of waveforms; an image has another.
STORAGE, WAVEFORM_STORAGE = b"1.2.840.10008.5.1.4.1.1.", b"1.2.840.10008.5.1.4.1.1.9."
_MAX_GROUPS = 256
_INSTALL = 'pip install "ecg-fairseq[dicom]"'
_TYPES = {"SB": "i1", "UB": "u1", "SS": "<i2", "US": "<u2", "SL": "<i4", "UL": "<u4"}
_BIG = "1.2.840.10008.1.2.2"
# The first group of elements of a file without preamble, in either byte order.
_FIRST_GROUPS = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08")


def is_dicom(start: bytes) -> bool:
    """Say whether a file that begins with ``start`` is DICOM; without preamble only an ECG is."""
    if start[MAGIC_PLACE:].startswith(MAGIC):
        return True
    return start[:2] in _FIRST_GROUPS and WAVEFORM_STORAGE in start


def read_dicom(
    path: Path,
    record_id: str | None = None,
    patient_id: str | None = None,
    waveform: str = "rhythm",
) -> EcgRecord:
    """Read the recording, or the ``median`` beat, of a DICOM ECG.

    Args:
        patient_id: default: the file's PatientID.

    Raises:
        MissingDependencyError: pydicom is not installed.
        RecordError: the file is damaged, holds no ECG, or its channels contradict each other.
    """
    try:
        import pydicom
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is a DICOM file; reading it needs pydicom: {_INSTALL}"
        ) from error
    if path.stat().st_size > MAX_BYTES:
        raise RecordError(f"{path} is larger than {MAX_BYTES} bytes, which no ECG is")
    try:
        with pydicom.config.disable_value_validation():
            dataset = pydicom.dcmread(path, force=True)
            whole = join_groups(choose_groups(_groups(dataset, path), waveform), path)
            own_patient = str(dataset.get("PatientID") or "").strip(" \0")
        name = record_id or path.stem
        origin = Origin(name, patient_id or own_patient or name, str(path), whole.notes)
        return named_record(whole.signal, whole.leads, whole.fs_hz, origin)
    except RecordError as error:
        text = str(error)
        raise error if str(path) in text else RecordError(f"{path}: {text}") from error
    except Exception as error:
        # pydicom raises almost every built-in exception on damaged files.
        raise RecordError(
            f"{path} cannot be read as DICOM: {type(error).__name__}: {str(error)[:200]}; "
            "export it again"
        ) from error


def _is_big(dataset: Any) -> bool:
    syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", ""))
    return syntax == _BIG or dataset.original_encoding[1] is False


def _groups(dataset: Any, path: Path) -> list[Group]:
    """Return the multiplex groups that hold an ECG; RecordError when none does."""
    items = list(dataset.get("WaveformSequence") or ())
    if not items:
        raise RecordError(f"{path} is a DICOM file without a waveform; expected an ECG")
    if len(items) > _MAX_GROUPS:
        raise RecordError(f"{path} has {len(items)} groups of channels; expected an ECG's few")
    groups: list[Group] = []
    # Groups of other signals (pressures, sounds) may lie beside the ECG's.
    failures: list[RecordError] = []
    for item in items:
        try:
            groups.append(_group(item, _is_big(dataset), path))
        except _NoLeadError as error:
            failures.append(error)
    if not groups:
        raise failures[0]
    return groups


class _NoLeadError(RecordError):
    """A group has a channel that is no ECG lead."""


def _group(item: Any, is_big: bool, path: Path) -> Group:
    """Return one group; RecordError says what is wrong with it."""
    steps, channels = _steps(item, is_big, path)
    fs_hz = scalar(item.get("SamplingFrequency"), "SamplingFrequency", path)
    check_rate(fs_hz, path)
    named = [lead_name(channel) for channel in channels]
    names = [name for name, _ in named]
    try:
        for name in names:
            lead_and_sign(name)
    except RecordError as error:
        raise _NoLeadError(f"{path}: {error}") from error
    padding = _padding(item, steps.dtype)
    rows = []
    for column, (name, channel) in enumerate(zip(names, channels, strict=True)):
        row = _millivolts(steps[:, column], channel, name, path)
        row[steps[:, column] == padding] = np.nan
        rows.append(_moved(row, _skew(channel, name, fs_hz, path), name, path))
    turned = named_leads(np.stack(rows), names)
    # Leads are completed once all groups are joined.
    own = [row for row, lead in enumerate(turned.leads) if lead not in turned.derived]
    offset = item.get("MultiplexGroupTimeOffset")
    is_stated = offset not in (None, "")
    return Group(
        signal=turned.signal[own],
        leads=tuple(turned.leads[row] for row in own),
        fs_hz=fs_hz,
        offset_s=scalar(offset, "MultiplexGroupTimeOffset", path) / 1000 if is_stated else None,
        label=str(item.get("MultiplexGroupLabel") or ""),
        is_derived=item.get("WaveformOriginality") == "DERIVED",
        notes=(*filter(None, (note for _, note in named)), *replace(turned, derived=()).notes()),
    )


def _steps(item: Any, is_big: bool, path: Path) -> tuple[np.ndarray, Sequence[Any]]:
    """Return (steps (T, channels) as stored, the channels)."""
    num_samples = int(item.NumberOfWaveformSamples)
    channels = list(item.ChannelDefinitionSequence)
    if int(item.NumberOfWaveformChannels) != len(channels):
        raise RecordError(
            f"{path}: {item.NumberOfWaveformChannels} channels announced, {len(channels)} "
            "described; export it again"
        )
    check_shape(len(channels), num_samples, path)
    form = _TYPES.get(str(item.WaveformSampleInterpretation))
    if form is None:
        raise RecordError(
            f"{path}: samples of type {item.WaveformSampleInterpretation!r}; expected "
            f"{', '.join(_TYPES)}"
        )
    dtype = np.dtype(form).newbyteorder(">") if is_big else np.dtype(form)
    data, wanted = bytes(item.WaveformData), num_samples * len(channels) * dtype.itemsize
    # DICOM values have an even length, so one byte may follow.
    if not wanted <= len(data) <= wanted + 1:
        raise RecordError(
            f"{path}: {len(data)} bytes of data for {len(channels)} channels of {num_samples} "
            f"samples = {wanted} bytes; export it again"
        )
    steps = np.frombuffer(data, dtype, num_samples * len(channels))
    return steps.reshape(num_samples, -1), channels


def _padding(item: Any, dtype: np.dtype) -> int | None:
    """Return the step that means "no sample"; None when the file names none."""
    value = item.get("WaveformPaddingValue")
    if isinstance(value, bytes):
        return int(np.frombuffer(value, dtype)[0]) if len(value) == dtype.itemsize else None
    return None if value is None else int(value)


def _millivolts(steps: np.ndarray, channel: Any, lead: str, path: Path) -> np.ndarray:
    if channel.get("ChannelSensitivity") in (None, ""):
        raise RecordError(
            f"{path}: channel {lead} has no sensitivity, so its steps mean no voltage; export the "
            "file again with calibrated channels"
        )
    sensitivity = scalar(channel.get("ChannelSensitivity"), f"sensitivity of {lead}", path)
    correction = _number(channel, "ChannelSensitivityCorrectionFactor", 1.0, lead, path)
    baseline = _number(channel, "ChannelBaseline", 0.0, lead, path)
    units = channel.get("ChannelSensitivityUnitsSequence")
    if not units:
        raise RecordError(f"{path}: channel {lead} has no unit; export the file again")
    per_unit = millivolts_per_unit(str(units[0].CodeValue))
    per_step = sensitivity * correction * per_unit
    check_gain(lead, 1.0 / per_step if per_step else 0.0, path)
    return steps * per_step + baseline * per_unit


def _number(channel: Any, key: str, default: float, lead: str, path: Path) -> float:
    """Return a channel's number; an element that is absent or empty says nothing."""
    value = channel.get(key)
    return default if value in (None, "") else scalar(value, f"{key} of {lead}", path)


def _skew(channel: Any, lead: str, fs_hz: float, path: Path) -> float:
    """Return by how many samples a channel begins after its group."""
    if channel.get("ChannelSampleSkew") in (None, ""):
        return _number(channel, "ChannelTimeSkew", 0.0, lead, path) * fs_hz
    return _number(channel, "ChannelSampleSkew", 0.0, lead, path)


def _moved(row: np.ndarray, skew: float, lead: str, path: Path) -> np.ndarray:
    """Return a channel moved by its skew, to the nearest sample, in the group's own time."""
    if abs(skew) >= len(row):
        raise RecordError(f"{path}: lead {lead} has a skew of {skew:g} of {len(row)} samples")
    shift = round(skew)
    if not shift:
        return row
    moved = np.full_like(row, np.nan)
    moved[max(0, shift) : len(row) + min(0, shift)] = row[max(0, -shift) : len(row) - max(0, shift)]
    return moved
