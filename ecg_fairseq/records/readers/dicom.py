"""DICOM ECGs (12-lead and general ECG waveform storage) through pydicom, an optional package.

The first multiplex group with simultaneous ECG channels is read: value = step * sensitivity *
correction + baseline, in the unit the file names. Reference: DICOM PS3.3, section C.10.9.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import MissingDependencyError, RecordError
from ecg_fairseq.records.readers.array_checks import check_shape, scalar, to_float32
from ecg_fairseq.records.readers.wfdb_header import check_gain, check_rate, millivolts_per_unit
from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.signal.leads import canonical_leads

MAGIC, MAGIC_PLACE = b"DICM", 128
MAX_BYTES = 256 << 20
_INSTALL = 'pip install "ecg-fairseq[dicom]"'
_TYPES = {"SB": "i1", "UB": "u1", "SS": "<i2", "US": "<u2", "SL": "<i4", "UL": "<u4"}
_BIG = "1.2.840.10008.1.2.2"
_NAME = re.compile(r"(?:lead\s+)?([a-z0-9]+)(?:\s*\([^)]*\))?", re.IGNORECASE)


def read_dicom(
    path: Path, record_id: str | None = None, patient_id: str | None = None
) -> EcgRecord:
    """Read a DICOM ECG.

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
            dataset = pydicom.dcmread(path)
            group = _group(dataset, path)
            signal, leads = _signal(group, _is_big(dataset), path)
            fs_hz = scalar(group.get("SamplingFrequency"), "SamplingFrequency", path)
            file_patient = str(dataset.get("PatientID") or "").strip()
    except RecordError as error:
        text = str(error)
        raise error if str(path) in text else RecordError(f"{path}: {text}") from error
    except Exception as error:
        # pydicom raises almost every built-in exception on damaged files.
        raise RecordError(
            f"{path} cannot be read as DICOM: {type(error).__name__}: {str(error)[:200]}; "
            "export it again"
        ) from error
    check_rate(fs_hz, path)
    name = record_id or path.stem
    return EcgRecord(signal, leads, fs_hz, name, patient_id or file_patient or name, str(path))


def _is_big(dataset: Any) -> bool:
    return str(getattr(dataset.file_meta, "TransferSyntaxUID", "")) == _BIG


def _group(dataset: Any, path: Path) -> Any:
    """Return the first original multiplex group of the waveform."""
    groups = list(dataset.get("WaveformSequence") or ())
    if not groups:
        raise RecordError(f"{path} is a DICOM file without a waveform; expected an ECG")
    original = [group for group in groups if group.get("WaveformOriginality") != "DERIVED"]
    return (original or groups)[0]


def _signal(group: Any, is_big: bool, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (float32 (L, T) in mV, leads)."""
    num_samples = int(group.NumberOfWaveformSamples)
    channels = list(group.ChannelDefinitionSequence)
    if int(group.NumberOfWaveformChannels) != len(channels):
        raise RecordError(
            f"{path}: {group.NumberOfWaveformChannels} channels announced, {len(channels)} "
            "described; export it again"
        )
    check_shape(len(channels), num_samples, path)
    form = _TYPES.get(str(group.WaveformSampleInterpretation))
    if form is None:
        raise RecordError(
            f"{path}: samples of type {group.WaveformSampleInterpretation!r}; expected "
            f"{', '.join(_TYPES)}"
        )
    dtype = np.dtype(form).newbyteorder(">") if is_big else np.dtype(form)
    data, wanted = bytes(group.WaveformData), num_samples * len(channels) * dtype.itemsize
    # DICOM values have an even length, so one byte may follow.
    if not wanted <= len(data) <= wanted + 1:
        raise RecordError(
            f"{path}: {len(data)} bytes of data for {len(channels)} channels of {num_samples} "
            f"samples = {wanted} bytes; export it again"
        )
    steps = np.frombuffer(data, dtype, num_samples * len(channels)).reshape(num_samples, -1)
    leads = canonical_leads([_lead_name(channel) for channel in channels])
    padding = _padding(group, dtype)
    rows = []
    for column, (lead, channel) in enumerate(zip(leads, channels, strict=True)):
        row = _millivolts(steps[:, column], channel, lead, path)
        row[steps[:, column] == padding] = np.nan
        rows.append(row)
    return to_float32(np.stack(rows)), leads


def _padding(group: Any, dtype: np.dtype) -> int | None:
    """Return the step that means "no sample"; None when the file names none."""
    value = group.get("WaveformPaddingValue")
    if isinstance(value, bytes):
        return int(np.frombuffer(value, dtype)[0]) if len(value) == dtype.itemsize else None
    return None if value is None else int(value)


def _lead_name(channel: Any) -> str:
    """Return the name as the channel's source code or label gives it."""
    source = channel.ChannelSourceSequence[0]
    text = str(source.get("CodeMeaning") or channel.get("ChannelLabel") or "")
    match = _NAME.fullmatch(text.strip())
    return match[1] if match else text


def _millivolts(steps: np.ndarray, channel: Any, lead: str, path: Path) -> np.ndarray:
    sensitivity = scalar(channel.get("ChannelSensitivity"), f"sensitivity of {lead}", path)
    correction = scalar(
        channel.get("ChannelSensitivityCorrectionFactor", 1.0), f"correction of {lead}", path
    )
    baseline = scalar(channel.get("ChannelBaseline", 0.0), f"baseline of {lead}", path)
    unit = str(channel.ChannelSensitivityUnitsSequence[0].CodeValue)
    per_unit = millivolts_per_unit(unit)
    per_step = sensitivity * correction * per_unit
    check_gain(lead, 1.0 / per_step if per_step else 0.0, path)
    return steps * per_step + baseline * per_unit
