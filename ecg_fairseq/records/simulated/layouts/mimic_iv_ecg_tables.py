"""What the tables of a simulated MIMIC-IV-ECG say: statements, measurements and people."""

import csv
import datetime
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from ecg_fairseq.records.datasets.mimic_iv_ecg import REPORT_COLUMNS, join_report
from ecg_fairseq.records.simulated.plan import PlannedRecord, SimulatedCase
from ecg_fairseq.signal.simulator import Findings, Recording

RECORD_COLUMNS = ("subject_id", "study_id", "file_name", "ecg_time", "path")
MEASUREMENT_COLUMNS = (
    *("subject_id", "study_id", "cart_id", "ecg_time", *REPORT_COLUMNS, "bandwidth", "filtering"),
    *("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end"),
    *("p_axis", "qrs_axis", "t_axis"),
)
DICTIONARY_COLUMNS = ("Variable", "Description ")  # with the blank, as published
PATIENT_COLUMNS = ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod")
_DESCRIPTIONS = {
    "report_#": "A statement of the device",
    "bandwidth": "Bandwidth of the device",
    "filtering": "Filter setting of the device",
}
_NOT_MEASURED = 29999
_FIRST_NUMBER = {"subject": 10_000_000, "study": 40_000_000}
_STRIDE, _SPAN = 61_403, 10_000_000  # without a common factor, so that no number comes twice
_YEAR_GROUPS = ("2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019")
_P_ONSET_MS, _P_DURATION_MS, _QTC_MS = 40, 100, 410
_SINUS = {"slow": "Sinus bradycardia", "normal": "Sinus rhythm", "fast": "Sinus tachycardia"}
_CONDUCTIONS = {
    "left_bundle_block": "Left bundle branch block",
    "right_bundle_block": "Right bundle branch block",
}
_VOLTAGES = {"hypertrophy": "Left ventricular hypertrophy", "low": "Low QRS voltages"}
_REPOLARISATIONS = {
    "anterior_st_elevation": "Anterior infarct, possibly acute",
    "inferior_st_elevation": "Inferior infarct, possibly acute",
    "st_depression": "Nonspecific ST depression",
    "t_inversion": "T wave inversion",
}
_NOISES = {"static": "Artifact present", "burst": "Artifact present", "drift": "Baseline wander"}
_PROMPTS = (
    "<ecg>\nPlease describe this ECG.",
    "What does this recording show?\n<ecg>",
    "<ecg>\nWrite the report of this ECG.",
)


@dataclass(frozen=True)
class MimicRecord:
    """One recording as the tables name it."""

    planned: PlannedRecord
    subject_id: int
    study_id: int

    @property
    def folder(self) -> str:
        """``files/p1000/p10000032/s40689238``."""
        subject = self.subject_id
        return f"files/p{subject // 10000}/p{subject}/s{self.study_id}"

    @property
    def path(self) -> str:
        """Where the record lies, without a suffix."""
        return f"{self.folder}/{self.study_id}"


def mimic_record(planned: PlannedRecord) -> MimicRecord:
    """Return subject and study number of a planned recording, scattered over the folders."""
    subject = _FIRST_NUMBER["subject"] + planned.patient * _STRIDE % _SPAN
    study = _FIRST_NUMBER["study"] + planned.ecg_id * _STRIDE % _SPAN
    return MimicRecord(planned, subject, study)


def shifted_time(case: SimulatedCase) -> datetime.datetime:
    """Return when a recording was made, moved by the same years for all of a patient's."""
    years = 110 + case.planned.patient * 7 % 80
    return case.person.recorded + datetime.timedelta(days=round(365.25 * years))


def statements(findings: Findings) -> list[str]:
    """Return the cells ``report_0`` and so on; an empty one stands before the conclusion."""
    rhythm = "Atrial fibrillation" if findings.atrial_fibrillation else _SINUS[findings.rate_class]
    words = [
        rhythm,
        "with PVCs" if findings.premature_beats else "",
        "Prolonged PR interval" if findings.av_block else "",
        "Left axis deviation" if findings.left_axis else "",
        _CONDUCTIONS.get(findings.conduction, ""),
        _VOLTAGES.get(findings.voltage, ""),
        _REPOLARISATIONS.get(findings.repolarisation, ""),
        _NOISES.get(findings.noise, ""),
    ]
    normal = findings.is_normal_ecg
    return [*filter(None, words), "", "Normal ECG" if normal else "Abnormal ECG"]


def record_row(record: MimicRecord, case: SimulatedCase) -> dict[str, object]:
    """Return a line of ``record_list.csv``."""
    return {
        "subject_id": record.subject_id,
        "study_id": record.study_id,
        "file_name": record.study_id,
        "ecg_time": shifted_time(case),
        "path": record.path,
    }


def measurement_row(
    record: MimicRecord, case: SimulatedCase, recording: Recording
) -> dict[str, object]:
    """Return a line of ``machine_measurements.csv``; what the simulator built in, in ms."""
    beat, rr_ms = recording.beat, 1000 * recording.rhythm.mean_rr_s
    has_p = not case.findings.atrial_fibrillation
    qrs_onset = _P_ONSET_MS + round(1000 * beat.pr_interval_s)
    row: dict[str, object] = dict.fromkeys(MEASUREMENT_COLUMNS, "")
    row |= dict(zip(REPORT_COLUMNS, statements(case.findings), strict=False))
    return row | {
        "subject_id": record.subject_id,
        "study_id": record.study_id,
        "cart_id": 6_800_000 + case.person.site,
        "ecg_time": shifted_time(case),
        "bandwidth": "0.005-150 Hz",
        "filtering": "60 Hz notch Baseline filter",
        "rr_interval": round(rr_ms),
        "p_onset": _P_ONSET_MS if has_p else _NOT_MEASURED,
        "p_end": _P_ONSET_MS + _P_DURATION_MS if has_p else _NOT_MEASURED,
        "qrs_onset": qrs_onset,
        "qrs_end": qrs_onset + round(1000 * beat.qrs_duration_s),
        "t_end": qrs_onset + round(_QTC_MS * (rr_ms / 1000) ** 0.5),
        "p_axis": 50 if has_p else _NOT_MEASURED,
        "qrs_axis": round(beat.axis_deg),
        "t_axis": round(beat.axis_deg / 2),
    }


def patient_row(record: MimicRecord, first: SimulatedCase) -> dict[str, object]:
    """Return a subject's line of MIMIC-IV's ``patients.csv``; ``first`` is the first recording."""
    return {
        "subject_id": record.subject_id,
        "gender": "F" if first.person.sex else "M",
        "anchor_age": first.person.age,
        "anchor_year": shifted_time(first).year,
        "anchor_year_group": _YEAR_GROUPS[record.planned.patient % len(_YEAR_GROUPS)],
        "dod": "",
    }


def dictionary_rows() -> list[dict[str, str]]:
    """Return the lines of ``machine_measurements_data_dictionary.csv``."""
    names = [name for name in MEASUREMENT_COLUMNS if not name.startswith("report_")]
    names.insert(names.index("bandwidth"), "report_#")
    key, text = DICTIONARY_COLUMNS
    return [{key: name, text: _DESCRIPTIONS.get(name, f"Simulated {name}")} for name in names]


def conversation(record: MimicRecord, case: SimulatedCase) -> dict[str, object]:
    """Return an item of ECG-Chat's ``pretrain_mimic.json``."""
    prompt = _PROMPTS[record.planned.ecg_id % len(_PROMPTS)]
    report = join_report(statements(case.findings)).replace("; ", ". ")
    return {
        "id": str(record.study_id),
        "ecg": record.path,
        "conversations": [
            {"from": "human", "value": prompt},
            {"from": "gpt", "value": f"{report}."},
        ],
    }


def csv_text(columns: Sequence[str], rows: Sequence[dict]) -> str:
    """Return a CSV table as text."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def json_text(items: Sequence[dict]) -> str:
    """Return a JSON list with one item a line."""
    lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)
    return f"[\n{lines}\n]\n"
