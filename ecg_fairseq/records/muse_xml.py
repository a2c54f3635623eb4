"""GE MUSE XML: base64 int16 waveforms of eight measured leads; the other limb leads are derived.

III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2, computed in float64 from the stored
steps. The parser is expat without entities: a file that declares any is refused, none outside is
ever opened, and a ``&`` that MUSE 8 leaves bare in texts is read as itself (fact sheet ecg-fm 1.4).
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.bounded import check_shape, read_bounded, scalar, to_float32
from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.records.wfdb_header import check_gain, check_rate, millivolts_per_unit
from ecg_fairseq.signal.leads import CANONICAL_LEADS, canonical_leads

ROOT = "RestingECG"
MAX_BYTES = 64 << 20
NO_SAMPLE = -32768
_MAX_DEPTH, _MAX_WAVEFORMS, _MAX_LEADS = 32, 16, 64
_ENCODING = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,20})["']""")
_DECLARATION = re.compile(r"^\s*<\?xml.*?\?>", re.DOTALL)
_BARE_AMPERSAND = re.compile(r"&(?!#?\w{1,10};)", re.ASCII)
_ENCODINGS = ("utf-8", "iso-8859-1", "windows-1252", "us-ascii", "utf-16")
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
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
        self.root = self.patient_id = ""
        self.waveforms: list[Waveform] = []
        self._open: list[str] = []
        self._text: list[str] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= _MAX_DEPTH:
            raise RecordError(f"elements are nested more than {_MAX_DEPTH} deep")
        self.root = self.root or name
        self._open.append(name)
        self._text = []
        if name == "Waveform":
            self.waveforms.append(Waveform())
        elif name == "LeadData" and self.waveforms:
            self.waveforms[-1].leads.append({})
        if len(self.waveforms) > _MAX_WAVEFORMS or (
            self.waveforms and len(self.waveforms[-1].leads) > _MAX_LEADS
        ):
            raise RecordError(
                f"more than {_MAX_WAVEFORMS} waveforms or {_MAX_LEADS} leads; expected an ECG"
            )

    def text(self, part: str) -> None:
        if self._text is not None:
            self._text.append(part)

    def end(self, name: str) -> None:
        self._open.pop()
        parent = self._open[-1] if self._open else ""
        value, self._text = "".join(self._text or ()), None
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


def _refuse_entities(*_: object) -> NoReturn:
    raise RecordError("it declares entities, which no MUSE export does; it is not opened")


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
    content = read_bounded(path, MAX_BYTES, "MUSE XML file")
    try:
        collector = _parse(_decode(content))
        found = [item for item in collector.waveforms if _is_type(item, waveform)]
        if len(found) != 1:
            raise RecordError(f"{len(found)} waveforms of type {waveform}; expected one")
        leads, signal, fs_hz = _signal(found[0], path)
    except (expat.ExpatError, UnicodeError, ValueError) as error:
        raise RecordError(f"{path} is not well-formed XML: {error}; export it again") from error
    except RecordError as error:
        text = str(error)
        raise error if str(path) in text else RecordError(f"{path}: {text}") from error
    name = record_id or path.stem
    patient = patient_id or collector.patient_id or name
    return EcgRecord(signal, leads, fs_hz, name, patient, str(path))


def _is_type(item: Waveform, wanted: str) -> bool:
    return item.fields.get("WaveformType", "").lower() == wanted.lower()


def _decode(content: bytes) -> str:
    for mark, name in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return content.decode(name)
    declared = _ENCODING.match(content.lstrip()[:256])
    name = declared[1].decode("ascii").lower() if declared else "utf-8"
    # Expat itself would accept any encoding Python knows; exports use these.
    return content.decode(name if name in _ENCODINGS else "iso-8859-1")


def _parse(text: str) -> _Collector:
    collector = _Collector()
    parser = expat.ParserCreate("utf-8")
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.EntityDeclHandler = _refuse_entities
    parser.ExternalEntityRefHandler = _refuse_entities
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.text
    parser.buffer_text = True
    plain = _BARE_AMPERSAND.sub("&amp;", _DECLARATION.sub("", text, count=1)).lstrip()
    parser.Parse(plain.encode("utf-8"), True)
    if collector.root != ROOT:
        raise RecordError(
            f"unknown format: XML with the root {collector.root[:40]!r}; expected a MUSE export, "
            f"whose root is {ROOT}"
        )
    return collector


def _signal(item: Waveform, path: Path) -> tuple[tuple[str, ...], np.ndarray, float]:
    """Return (leads, float32 (L, T) in mV, rate)."""
    base = scalar(item.fields.get("SampleBase"), "SampleBase", path)
    exponent = scalar(item.fields.get("SampleExponent") or 0, "SampleExponent", path)
    if not -9 <= exponent <= 9:
        raise RecordError(f"SampleExponent is {exponent:g}; expected -9 to 9")
    fs_hz = base * 10.0**exponent
    check_rate(fs_hz, path)
    names = canonical_leads([lead.get("LeadID", "") for lead in item.leads])
    rows = [_lead(lead, name, path) for lead, name in zip(item.leads, names, strict=True)]
    lengths = {len(row) for row in rows}
    offsets = {lead.get("LeadTimeOffset") or "0" for lead in item.leads}
    if len(lengths) != 1 or len(offsets) != 1:
        raise RecordError(
            f"leads of {sorted(lengths)} samples with time offsets {sorted(offsets)}; expected "
            "simultaneous leads of one length"
        )
    check_shape(len(rows), len(rows[0]), path)
    by_name = dict(zip(names, rows, strict=True))
    for lead, row in _derived(by_name):
        by_name.setdefault(lead, row)
    leads = tuple(sorted(by_name, key=_rank))
    return leads, to_float32(np.stack([by_name[lead] for lead in leads])), fs_hz


def _rank(lead: str) -> tuple[int, str]:
    known = lead in CANONICAL_LEADS
    return (CANONICAL_LEADS.index(lead) if known else len(CANONICAL_LEADS), lead)


def _derived(leads: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Return the limb leads that follow from I and II by Einthoven and Goldberger."""
    if not {"I", "II"} <= leads.keys():
        return []
    one, two = leads["I"], leads["II"]
    return [
        ("III", two - one),
        ("aVR", -(one + two) / 2),
        ("aVL", one - two / 2),
        ("aVF", two - one / 2),
    ]


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
    return values
