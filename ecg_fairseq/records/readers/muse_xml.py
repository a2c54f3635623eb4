"""GE MUSE XML: base64 int16 waveforms of eight measured leads; the other limb leads are derived.

The derived leads are computed in float64 from the stored steps (see bounded_xml, which also says
what such a file may not do).
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.array_checks import scalar
from ecg_fairseq.records.readers.device_xml import device_record, parse_xml, read_xml
from ecg_fairseq.records.readers.wfdb_header import check_gain, check_rate, millivolts_per_unit
from ecg_fairseq.records.record import EcgRecord, Origin

ROOT = "RestingECG"
MAX_BYTES = 64 << 20
NO_SAMPLE = -32768
_MAX_WAVEFORMS, _MAX_LEADS = 16, 64
_TRUE = ("true", "1", "yes")
_UNITS = {"MICROVOLTS": "uV", "MILLIVOLTS": "mV", "VOLTS": "V"}
_WAVEFORM_FIELDS = ("WaveformType", "SampleBase", "SampleExponent")
_LEAD_FIELDS = (
    "LeadID",
    "WaveFormData",
    "LeadAmplitudeUnitsPerBit",
    "LeadAmplitudeUnits",
    "LeadSampleCountTotal",
    "LeadSampleSize",
    "LeadTimeOffset",
    "LeadOff",
)
Fields = dict[str, str]


@dataclass
class Waveform:
    """One ``Waveform`` of the file as text: its own fields, and those of each lead."""

    fields: Fields = field(default_factory=dict)
    leads: list[Fields] = field(default_factory=list)


class _Collector:
    """Keeps the texts of the elements that are needed; all others are passed over."""

    def __init__(self) -> None:
        self.patient_id = ""
        self.waveforms: list[Waveform] = []

    def start(self, path: Sequence[str], attributes: Mapping[str, str]) -> None:
        if path[-1] == "Waveform":
            self.waveforms.append(Waveform())
        elif path[-1] == "LeadData" and self.waveforms:
            self.waveforms[-1].leads.append({})
        if len(self.waveforms) > _MAX_WAVEFORMS or (
            self.waveforms and len(self.waveforms[-1].leads) > _MAX_LEADS
        ):
            raise RecordError(
                f"more than {_MAX_WAVEFORMS} waveforms or {_MAX_LEADS} leads; expected an ECG"
            )

    def end(self, path: Sequence[str], value: str) -> None:
        name = path[-1]
        parent = path[-2] if len(path) > 1 else ""
        if parent == "LeadData" and name in _LEAD_FIELDS and self.waveforms:
            self._keep(self.waveforms[-1].leads[-1], name, value)
        elif parent == "Waveform" and name in _WAVEFORM_FIELDS:
            self._keep(self.waveforms[-1].fields, name, value)
        elif parent == "PatientDemographics" and name == "PatientID":
            self.patient_id = value.strip()

    @staticmethod
    def _keep(fields: Fields, name: str, value: str) -> None:
        if name in fields:
            raise RecordError(f"{name} occurs twice in one place")
        fields[name] = value.strip()


def read_muse(
    path: Path,
    record_id: str | None = None,
    patient_id: str | None = None,
    waveform: str = "Rhythm",
) -> EcgRecord:
    """Read the ``Rhythm`` (or ``Median``) waveform of a MUSE file, with the derived limb leads.

    Args:
        patient_id: default: the file's PatientID.

    Raises:
        RecordError: it is damaged, of another XML form, or leads contradict each other.
    """

    def read(content: bytes) -> EcgRecord:
        collector = _Collector()
        root, notes = parse_xml(content, collector)
        _check_root(root)
        found = [item for item in collector.waveforms if _is_type(item, waveform)]
        if len(found) != 1:
            raise RecordError(f"{len(found)} waveforms of type {waveform}; expected one")
        name = record_id or path.stem
        patient = patient_id or collector.patient_id or name
        return _record(found[0], Origin(name, patient, str(path), notes), path)

    return read_xml(path, MAX_BYTES, "MUSE XML file", read)


def _check_root(root: str) -> None:
    if root != ROOT:
        raise RecordError(
            f"unknown format: XML with the root {root[:40]!r}; expected a MUSE export, whose root "
            f"is {ROOT}, or a CardioSoft export, whose root is CardiologyXML"
        )


def _is_type(item: Waveform, wanted: str) -> bool:
    return item.fields.get("WaveformType", "").lower() == wanted.lower()


def _record(item: Waveform, origin: Origin, path: Path) -> EcgRecord:
    base = scalar(item.fields.get("SampleBase"), "SampleBase", path)
    exponent = scalar(item.fields.get("SampleExponent") or 0, "SampleExponent", path)
    if not -9 <= exponent <= 9:
        raise RecordError(f"SampleExponent is {exponent:g}; expected -9 to 9")
    fs_hz = base * 10.0**exponent
    check_rate(fs_hz, path)
    names = [lead.get("LeadID", "") for lead in item.leads]
    rows = [_lead(lead, name, path) for lead, name in zip(item.leads, names, strict=True)]
    lengths = {len(row) for row in rows}
    offsets = {lead.get("LeadTimeOffset") or "0" for lead in item.leads}
    if len(lengths) != 1 or len(offsets) != 1:
        raise RecordError(
            f"leads of {sorted(lengths)} samples with time offsets {sorted(offsets)}; expected "
            "simultaneous leads of one length"
        )
    off = [name for lead, name in zip(item.leads, names, strict=True) if _is_off(lead)]
    if off:
        note = f"the device says that its electrode was off, taken as missing: {', '.join(off)}"
        origin = replace(origin, notes=(*origin.notes, note))
    return device_record(rows, names, fs_hz, origin)


def _is_off(lead: Fields) -> bool:
    return lead.get("LeadOff", "").strip().lower() in _TRUE


def _lead(lead: Fields, name: str, path: Path) -> np.ndarray:
    """Return one lead, float64 in mV; steps marked as no sample become NaN."""
    if lead.get("LeadSampleSize", "2") != "2":
        raise RecordError(f"lead {name}: samples of {lead['LeadSampleSize']!r} bytes; expected 2")
    try:
        data = base64.b64decode("".join(lead.get("WaveFormData", "").split()), validate=True)
    except binascii.Error as error:
        raise RecordError(f"lead {name}: damaged base64 ({error}); export it again") from error
    count = lead.get("LeadSampleCountTotal")
    num_samples = len(data) // 2
    if len(data) % 2 or (count and scalar(count, "LeadSampleCountTotal", path) != num_samples):
        raise RecordError(
            f"lead {name}: {len(data)} bytes of data for {count or 'an unknown number of'} samples "
            "of 2 bytes; export it again"
        )
    per_step = scalar(lead.get("LeadAmplitudeUnitsPerBit"), "LeadAmplitudeUnitsPerBit", path)
    unit = lead.get("LeadAmplitudeUnits", "")
    per_step_mv = per_step * millivolts_per_unit(_UNITS.get(unit.upper(), unit))
    check_gain(name, 1.0 / per_step_mv if per_step_mv else 0.0, path)
    steps = np.frombuffer(data, dtype="<i2")
    values = steps * per_step_mv
    values[steps == NO_SAMPLE] = np.nan
    if _is_off(lead):
        values[:] = np.nan
    return values
