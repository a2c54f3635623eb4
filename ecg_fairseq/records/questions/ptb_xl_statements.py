"""PTB-XL's labels as facts: what a code is called, and when it counts as present.

The rule for likelihoods (PTB-XL gives each statement one, 0 to 100):

* form and rhythm statements carry no likelihood in PTB-XL (0 is written); being listed is enough;
* a diagnostic statement of at least 80 is present; above 0 and below 80 it is uncertain;
* a diagnostic statement of 0 has an unknown likelihood: nothing is asked about it on that record;
* a statement that is not listed is absent, except rhythm: a record without any rhythm statement is
  not asked about rhythm, for every heart has one.

Answer names are ECG-QA's where it has one.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ecg_fairseq.errors import ManifestError

CERTAIN_LIKELIHOOD = 80.0

RHYTHM_NAMES = {
    "SR": "sinus rhythm",
    "AFIB": "atrial fibrillation",
    "STACH": "sinus tachycardia",
    "SARRH": "sinus arrhythmia",
    "SBRAD": "sinus bradycardia",
    "PACE": "normal functioning artificial pacemaker",
    "SVARR": "supraventricular arrhythmia",
    "BIGU": "bigeminal pattern (unknown origin, supraventricular, or ventricular)",
    "AFLT": "atrial flutter",
    "SVTAC": "supraventricular tachycardia",
    "PSVT": "paroxysmal supraventricular tachycardia",
    "TRIGU": "trigeminal pattern (unknown origin, supraventricular, or ventricular)",
}
FORM_NAMES = {
    "ABQRS": "abnormal qrs",
    "PVC": "ventricular premature complex",
    "STD_": "non-specific st depression",
    "VCLVH": "voltage criteria (qrs) for left ventricular hypertrophy",
    "QWAVE": "q waves present",
    "LOWT": "low amplitude t-wave",
    "NT_": "non-specific t-wave changes",
    "PAC": "atrial premature complex",
    "LPR": "prolonged pr interval",
    "INVT": "inverted t-waves",
    "LVOLT": "low qrs voltages in the frontal and horizontal leads",
    "HVOLT": "high qrs voltage",
    "TAB_": "t-wave abnormality",
    "STE_": "non-specific st elevation",
    "PRC(S)": "premature complex(es)",
    "NDT": "non-diagnostic t abnormalities",
    "NST_": "non-specific st changes",
    "DIG": "digitalis effect",
    "LNGQT": "long qt-interval",
}
INFARCTION_PLACES = {
    "AMI": "anterior leads",
    "ASMI": "anteroseptal leads",
    "ALMI": "anterolateral leads",
    "IMI": "inferior leads",
    "ILMI": "inferolateral leads",
    "IPMI": "inferoposterior leads",
    "IPLMI": "inferoposterolateral leads",
    "LMI": "lateral leads",
    "PMI": "posterior leads",
}
CONDUCTION_NAMES = {
    "CLBBB": "complete left bundle branch block",
    "CRBBB": "complete right bundle branch block",
    "ILBBB": "incomplete left bundle branch block",
    "IRBBB": "incomplete right bundle branch block",
    "LAFB": "left anterior fascicular block",
    "LPFB": "left posterior fascicular block",
    "IVCD": "non-specific intraventricular conduction disturbance (block)",
    "1AVB": "first degree av block",
    "2AVB": "second degree av block",
    "3AVB": "third degree av block",
    "WPW": "wolff-parkinson-white syndrome",
}
DIAGNOSTIC_NAMES = {
    **CONDUCTION_NAMES,
    **{code: f"myocardial infarction in {place}" for code, place in INFARCTION_PLACES.items()},
    "LVH": "left ventricular hypertrophy",
    "RVH": "right ventricular hypertrophy",
    "SEHYP": "septal hypertrophy",
    "LAO/LAE": "left atrial overload/enlargement",
    "RAO/RAE": "right atrial overload/enlargement",
    "ISC_": "non-specific ischemic",
    "ISCAL": "ischemic in anterolateral leads",
    "ISCAN": "ischemic in anterior leads",
    "ISCAS": "ischemic in anteroseptal leads",
    "ISCIN": "ischemic in inferior leads",
    "ISCIL": "ischemic in inferolateral leads",
    "ISCLA": "ischemic in lateral leads",
    "INJAS": "subendocardial injury in anteroseptal leads",
    "INJAL": "subendocardial injury in anterolateral leads",
    "INJIN": "subendocardial injury in inferior leads",
    "INJIL": "subendocardial injury in inferolateral leads",
    "INJLA": "subendocardial injury in lateral leads",
    "ANEUR": "st-t changes compatible with ventricular aneurysm",
    "EL": "electrolytic disturbance or drug effect",
}
ALL_NAMES = {**RHYTHM_NAMES, **FORM_NAMES, **DIAGNOSTIC_NAMES}

# PTB-XL's heart_axis: the remaining values (AXL, AXR, SAG) name heart positions, not an axis.
AXIS_NAMES = {
    "MID": "normal heart axis",
    "LAD": "left axis deviation",
    "ALAD": "left axis deviation",
    "RAD": "right axis deviation",
    "ARAD": "right axis deviation",
}
NOISE_COLUMNS = {
    "baseline_drift": "baseline drift",
    "static_noise": "static noise",
    "burst_noise": "burst noise",
    "electrodes_problems": "electrodes problems",
}
WITHIN, ABOVE, BELOW = "within the normal range", "above the normal range", "below the normal range"
NUMERIC_FEATURES = (
    "p duration",
    "pr interval",
    "qrs duration",
    "qt corrected",
    "qt interval",
    "rr interval",
)


@dataclass(frozen=True)
class LabelledRecord:
    """What a dataset says about one recording.

    Attributes:
        split: ``train``, ``valid`` or ``test``.
        scp_codes: statement code -> likelihood (0 to 100).
        heart_axis: PTB-XL's abbreviation, or empty.
        noises: kinds of noise that were noted, in ECG-QA's words; None if nobody looked.
        numeric_features: feature -> ``WITHIN``, ``ABOVE`` or ``BELOW``; PTB-XL itself has none.
    """

    record_id: str
    patient_id: str
    split: str
    scp_codes: Mapping[str, float]
    heart_axis: str = ""
    noises: frozenset[str] | None = None
    numeric_features: Mapping[str, str] = field(default_factory=dict)

    def has(self, code: str) -> bool | None:
        """Return whether a statement is present; None where it is uncertain or unknown."""
        if code not in self.scp_codes:
            return None if code in RHYTHM_NAMES and not self.has_rhythm else False
        if code in RHYTHM_NAMES or code in FORM_NAMES:
            return True
        return True if self.scp_codes[code] >= CERTAIN_LIKELIHOOD else None

    def is_uncertain(self, code: str) -> bool:
        """Tell whether a diagnostic statement is listed with a low but known likelihood."""
        likelihood = self.scp_codes.get(code, 0.0)
        return code in DIAGNOSTIC_NAMES and 0.0 < likelihood < CERTAIN_LIKELIHOOD

    @property
    def has_rhythm(self) -> bool:
        """Whether any rhythm statement is listed."""
        return any(code in RHYTHM_NAMES for code in self.scp_codes)


class LabelledRow(Protocol):
    """Anything with a manifest row's labels, such as :class:`~.manifest.RecordRow`."""

    @property
    def record_id(self) -> str:
        """The record's id."""

    @property
    def patient_id(self) -> str:
        """The patient's id."""

    @property
    def split(self) -> str:
        """The record's split."""

    @property
    def labels(self) -> Mapping[str, Any]:
        """``scp_codes`` as a dictionary or its text, and PTB-XL's text columns."""


def labelled_record_from_row(
    row: Mapping[str, Any],
    split: str,
    numeric_features: Mapping[str, str] | None = None,
) -> LabelledRecord:
    """Read one row of ``ptbxl_database.csv``.

    Args:
        row: column -> text, as ``csv.DictReader`` or a pandas row gives it.
        split: the record's split.
        numeric_features: measured features, if another table has them.

    Raises:
        ManifestError: ``scp_codes`` is not a dictionary of numbers.
    """
    record_id, patient_id = _whole(_text(row.get("ecg_id"))), _whole(_text(row.get("patient_id")))
    return _from_labels(record_id, patient_id, split, row, numeric_features or {})


def as_labelled_record(row: LabelledRecord | LabelledRow) -> LabelledRecord:
    """Return a labelled record as it is, and a manifest row as what its labels say.

    Raises:
        ManifestError: ``scp_codes`` is not a dictionary of numbers.
    """
    if isinstance(row, LabelledRecord):
        return row
    labels = row.labels
    features = labels.get("numeric_features") or {}
    return _from_labels(row.record_id, row.patient_id, row.split, labels, features)


def _from_labels(
    record_id: str,
    patient_id: str,
    split: str,
    labels: Mapping[str, Any],
    numeric_features: Mapping[str, str],
) -> LabelledRecord:
    codes = labels.get("scp_codes") or {}
    try:
        if isinstance(codes, str):
            codes = ast.literal_eval(codes)
        scp_codes = {str(code): float(likelihood) for code, likelihood in codes.items()}
    except (ValueError, SyntaxError, AttributeError, TypeError, RecursionError) as error:
        raise ManifestError(
            f"record {record_id}: scp_codes is {str(codes)[:80]!r}; expected a dictionary such as "
            "{'NORM': 100.0, 'SR': 0.0}; correct the row of ptbxl_database.csv"
        ) from error
    noises = frozenset(name for key, name in NOISE_COLUMNS.items() if _text(labels.get(key)))
    return LabelledRecord(
        record_id=record_id,
        patient_id=patient_id,
        split=split,
        scp_codes=scp_codes,
        heart_axis=_text(labels.get("heart_axis")),
        noises=noises,
        numeric_features=dict(numeric_features),
    )


def _text(value: object) -> str:
    """Return a cell as stripped text; empty for missing cells (None and NaN)."""
    if value is None or value != value:
        return ""
    return str(value).strip()


def _whole(number: str) -> str:
    """Drop the ``.0`` that PTB-XL writes after whole numbers."""
    return number[:-2] if number.endswith(".0") else number
