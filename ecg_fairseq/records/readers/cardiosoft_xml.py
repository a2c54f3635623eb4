"""GE CardioSoft XML (``CardiologyXML``), as UK Biobank gives resting ECGs out (field 20205).

``StripData`` holds the recording, ``RestingECGMeasurements/MedianSamples`` the device's own median
beat; each lead is a ``WaveformData lead="I"`` of comma-separated steps, ``Resolution`` the
microvolts of a step (fact sheet dual-attention 2). Either block may be absent, and some devices
put ``StripData`` into ``Strip``. What such a file may not do: see bounded_xml.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.array_checks import scalar
from ecg_fairseq.records.readers.device_xml import device_record, parse_xml, read_xml
from ecg_fairseq.records.readers.wfdb_header import check_gain, check_rate
from ecg_fairseq.records.record import EcgRecord, Origin

ROOT = "CardiologyXML"
MAX_BYTES = 16 << 20
WAVEFORMS = {"rhythm": "StripData", "median": "MedianSamples"}
_PARENTS = {"StripData": (ROOT, "Strip"), "MedianSamples": (ROOT, "RestingECGMeasurements")}
_UNIT = "uvperlsb"
_FIELDS = ("SampleRate", "Resolution", "NumberOfLeads", "ChannelSampleCountTotal")
_MAX_LEADS = 64
_LARGEST_STEP = 2**31


@dataclass
class Block:
    """One block of leads as it stands in the file."""

    fields: dict[str, str] = field(default_factory=dict)
    unit: str = ""
    names: list[str] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)


class _Collector:
    """Keeps the wanted kind of block; everything else is passed over."""

    def __init__(self, wanted: str) -> None:
        self.patient_id = ""
        self.blocks: list[Block] = []
        self.others: set[str] = set()
        self._wanted = wanted

    def start(self, path: Sequence[str], attributes: Mapping[str, str]) -> None:
        if _is_block(path):
            if path[-1] == self._wanted:
                self.blocks.append(Block())
            else:
                self.others.add(path[-1])
        elif self._is_inside(path) and path[-1] == "WaveformData":
            block = self.blocks[-1]
            block.names.append(attributes.get("lead", ""))
            if len(block.names) > _MAX_LEADS or len(self.blocks) > 1:
                raise RecordError(f"more than one block or {_MAX_LEADS} leads; expected an ECG")
        elif self._is_inside(path) and path[-1] == "Resolution":
            self.blocks[-1].unit = attributes.get("units", "")

    def end(self, path: Sequence[str], value: str) -> None:
        if self._is_inside(path):
            block, name = self.blocks[-1], path[-1]
            if name == "WaveformData":
                block.rows.append(_steps(value, block.names[-1]))
            elif name in _FIELDS:
                if name in block.fields:
                    raise RecordError(f"{name} occurs twice in one {self._wanted}")
                block.fields[name] = value.strip()
        elif len(path) > 1 and path[-1] == "PID" and path[-2] == "PatientInfo":
            self.patient_id = value.strip()

    def _is_inside(self, path: Sequence[str]) -> bool:
        return len(path) > 2 and path[-2] == self._wanted and _is_block(path[:-1])


def _is_block(path: Sequence[str]) -> bool:
    return len(path) > 1 and path[-2] in _PARENTS.get(path[-1], ())


def _steps(text: str, lead: str) -> np.ndarray:
    """Return the comma-separated integers of one lead, int32."""
    text = text.strip().removesuffix(",")  # some devices end the list with a comma
    count = text.count(",") + 1
    try:
        steps = np.fromstring(text, dtype=np.int64, sep=",")
    except ValueError:
        steps = np.empty(0, dtype=np.int64)
    # Numbers too large for 64 bits come back as the largest there is.
    too_large = steps.size and (steps.min() < -_LARGEST_STEP or steps.max() >= _LARGEST_STEP)
    if steps.size != count or too_large:
        raise RecordError(
            f"lead {lead[:20]}: its {count} samples are not all integers of 32 bits between "
            "commas; export the file again"
        )
    return steps.astype(np.int32)


def read_cardiosoft(
    path: Path,
    record_id: str | None = None,
    patient_id: str | None = None,
    waveform: str = "rhythm",
) -> EcgRecord:
    """Read the recording, or the ``median`` beat, of a CardioSoft file; limb leads are completed.

    Args:
        patient_id: default: the file's PID.

    Raises:
        RecordError: it is damaged, has no such block, or its leads contradict each other.
    """
    wanted = WAVEFORMS.get(waveform.lower())
    if wanted is None:
        raise RecordError(f"waveform {waveform!r}; expected one of {', '.join(WAVEFORMS)}")

    def read(content: bytes) -> EcgRecord:
        collector = _Collector(wanted)
        root, notes = parse_xml(content, collector)
        if root != ROOT:
            raise RecordError(f"XML with the root {root[:40]!r}; expected {ROOT}")
        if len(collector.blocks) != 1:
            others = ", ".join(sorted(collector.others)) or "no other waveform"
            raise RecordError(
                f"{len(collector.blocks)} blocks {wanted}, expected one (the file has {others})"
            )
        name = record_id or path.stem
        patient = patient_id or collector.patient_id or name
        return _record(collector.blocks[0], Origin(name, patient, str(path), notes), path)

    return read_xml(path, MAX_BYTES, "CardioSoft XML file", read)


def _record(block: Block, origin: Origin, path: Path) -> EcgRecord:
    fs_hz = scalar(block.fields.get("SampleRate"), "SampleRate", path)
    check_rate(fs_hz, path)
    microvolts = scalar(block.fields.get("Resolution"), "Resolution", path)
    check_gain("all", 1000.0 / microvolts if microvolts else 0.0, path)
    if block.unit.strip().lower() != _UNIT:
        raise RecordError(f"Resolution in {block.unit[:40]!r}; expected uVperLsb")
    names = block.names
    lengths = sorted({len(row) for row in block.rows})
    stated = {
        "NumberOfLeads": len(names),
        "ChannelSampleCountTotal": lengths[0] if len(lengths) == 1 else -1,
    }
    for name, found in stated.items():
        text = block.fields.get(name)
        if text and scalar(text, name, path) != found:
            raise RecordError(
                f"{name} is {text[:20]}, but {len(names)} leads of {lengths} samples follow; "
                "export the file again"
            )
    if len(lengths) != 1:
        raise RecordError(f"leads of {lengths} samples; expected leads of one length")
    rows = [row * (microvolts / 1000.0) for row in block.rows]
    return device_record(rows, names, fs_hz, origin)
