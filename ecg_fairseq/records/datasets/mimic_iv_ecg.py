"""MIMIC-IV-ECG: the device's reports and measurements of 800,035 recordings of 161,352 subjects.

    ecg-fairseq prepare mimic_iv_ecg RAW_DIR --out DIR --recipe ecg_byte --dtype int16 --workers 8

RAW_DIR holds record_list.csv, machine_measurements.csv and files/pNNNN/. Splits are drawn by
subject. Labels come from --label-table with a column study_id, such as ECG-FM's labels.csv; the
reports are not turned into labels here. A report's 18 columns are joined by ``"; "``, as ECG-FM
does (fact sheet ecg-fm 1.4). Sex and age need patients.csv of MIMIC-IV itself. Headers list aVF
before aVL; leads are chosen by name. Recordings with missing samples are listed in skipped.tsv, as
in ECG-Byte.
Gow et al., MIMIC-IV-ECG, PhysioNet (2023), doi 10.13026/4nqg-sb35.
"""

import argparse
import datetime
import functools
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.csv_table import number_of, read_columns, whole_number
from ecg_fairseq.records.datasets.options import add_split_option
from ecg_fairseq.records.manifest.splits import keep_fraction
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.readers.wfdb_comments import parse_sex
from ecg_fairseq.records.source_record import SourceRecord

RAW_HELP = "MIMIC-IV-ECG's folder (holds record_list.csv)"
ID_COLUMNS = ("study_id",)
RECORD_LIST = "record_list.csv"
MEASUREMENTS = "machine_measurements.csv"
REPORT_COLUMNS = tuple(f"report_{number}" for number in range(18))
REPORT_SEPARATOR = "; "
TIME_COLUMNS = ("rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end")
AXIS_COLUMNS = ("p_axis", "qrs_axis", "t_axis")
_TEXT_COLUMNS = ("bandwidth", "filtering")
# Outside of these a number is the device's mark for "not measured" (29999), not a measurement.
_LONGEST_MS = 10_000
_WIDEST_DEGREES = 360
_DAYS_PER_YEAR = 365.25
_YEAR_GROUP = re.compile(r"(\d{4}) - (\d{4})")
_PATIENT_COLUMNS = ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group")
# study id -> (report, labels as the inside of a JSON object)
Measured = dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A line of MIMIC-IV's ``patients.csv``; dates are shifted by the same years for one subject.

    Attributes:
        middle_year: middle of the three years in which ``anchor_year`` really lies, or None.
    """

    sex: str
    anchor_age: float
    anchor_year: int
    middle_year: int | None

    def age_at(self, moment: datetime.datetime) -> float:
        """Return years: the age in the anchor year, and the time since that year began."""
        since = moment - datetime.datetime(self.anchor_year, 1, 1)
        return round(self.anchor_age + since.total_seconds() / 86400 / _DAYS_PER_YEAR, 2)

    def real_year(self, moment: datetime.datetime) -> int | None:
        """Return the year in which a shifted moment really lies, give or take one."""
        if self.middle_year is None:
            return None
        return self.middle_year + moment.year - self.anchor_year


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of datasets that draw the splits of MIMIC-IV-ECG by subject."""
    add_split_option(parser, ("patient",))
    add_patients_option(parser)


def add_patients_option(parser: argparse.ArgumentParser) -> None:
    """Declare ``--patients`` for datasets over MIMIC-IV-ECG."""
    parser.add_argument(
        "--patients", type=Path, metavar="CSV", help="MIMIC-IV's hosp/patients.csv: sex and age"
    )


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return mimic_iv_ecg_dataset(
        arguments.raw_dir, arguments.patients, arguments.fraction, arguments.seed
    )


def mimic_iv_ecg_dataset(
    folder: Path, patients: Path | None = None, fraction: float = 1.0, seed: int = 0
) -> RawDataset:
    """Return MIMIC-IV-ECG as a dataset; splits are drawn by subject.

    Args:
        folder: holds ``record_list.csv``, ``machine_measurements.csv`` and ``files/``.
        patients: MIMIC-IV's ``patients.csv``, for sex and age.
        fraction: share of the subjects to keep.

    Raises:
        ManifestError: a table is missing or damaged.
    """
    sources = read_mimic_iv_ecg(folder, patients, fraction, seed)
    return RawDataset("mimic_iv_ecg", sources, "patient", id_columns=ID_COLUMNS)


def read_mimic_iv_ecg(
    folder: Path, patients: Path | None = None, fraction: float = 1.0, seed: int = 0
) -> list[SourceRecord]:
    """Return one source for each line of ``record_list.csv``, without a split.

    Nothing but the tables is read: 800,000 records are listed within a minute.

    Raises:
        ManifestError: see :func:`mimic_iv_ecg_dataset`.
    """
    if not folder.is_dir():
        raise ManifestError(f"MIMIC-IV-ECG folder not found: {folder}; check the path")
    subjects = read_subjects(patients) if patients else {}
    kept: dict[str, bool] = {}
    measured = _read_measurements(folder / MEASUREMENTS)
    root = str(folder.resolve())
    sources = []
    path = folder / RECORD_LIST
    table = read_columns(path, ("subject_id", "study_id", "ecg_time", "path"), "record list")
    shown = str(path)
    for number, row in enumerate(table, 2):
        row["subject_id"] = subject_id = sys.intern(whole_number(row["subject_id"]))
        if subject_id not in kept:
            kept[subject_id] = keep_fraction(subject_id, fraction, seed)
        if kept[subject_id]:
            where = f"{shown} line {number}"
            sources.append(_source(row, root, measured, subjects, where))
    return sources


def _source(
    row: dict[str, str], root: str, measured: Measured, subjects: dict[str, Subject], where: str
) -> SourceRecord:
    path = row["path"].removesuffix(".hea")
    if not path or path.startswith("/") or "\\" in path or ".." in path.split("/"):
        raise ManifestError(f"{where}: path is {path!r}; expected one below the dataset")
    study_id, subject_id = whole_number(row["study_id"]), row["subject_id"]
    if not study_id or not subject_id:
        raise ManifestError(f"{where}: study_id and subject_id must not be empty")
    moment = _moment(row["ecg_time"], where)
    report, labels = measured.pop(study_id, ("", ""))
    subject = subjects.get(subject_id)
    year = subject.real_year(moment) if subject else None
    facts = [f'"ecg_time": "{moment}"', labels, f'"year": {year}' if year else ""]
    return SourceRecord(
        record_id=study_id,
        patient_id=subject_id,
        path=f"{root}/{path}",
        source=path,
        age=subject.age_at(moment) if subject else None,
        sex=subject.sex if subject else "",
        labels_json="{" + ", ".join(filter(None, facts)) + "}",
        report=report,
    )


def _moment(text: str, where: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise ManifestError(
            f"{where}: ecg_time is {text!r}; expected YYYY-MM-DD HH:MM:SS"
        ) from error


def _read_measurements(path: Path) -> Measured:
    """Return study id -> report and measurements; nothing, with a note, without the table."""
    if not path.is_file():
        print(f"{path} not found: no reports and no measurements", file=sys.stderr)
        return {}
    needed = ("study_id", REPORT_COLUMNS[0])
    # Many recordings share their report, and all but a few the device's settings.
    texts: dict[str, str] = {}
    found: Measured = {}
    for row in read_columns(path, needed, "machine measurements"):
        report = join_report([row.get(name, "") for name in REPORT_COLUMNS])
        labels = ", ".join(_measured_labels(row))
        found[whole_number(row["study_id"])] = (texts.setdefault(report, report), labels)
    return found


def join_report(statements: list[str]) -> str:
    """Return a machine's statements as one text; empty ones are left out.

    >>> join_report(["Sinus rhythm", "", " Borderline ECG "])
    'Sinus rhythm; Borderline ECG'
    """
    return REPORT_SEPARATOR.join(filter(None, map(str.strip, statements)))


def _measured_labels(row: dict[str, str]) -> list[str]:
    """Return ``"rr_interval": 659.0`` and so on, in the order of their names."""
    labels = {name: _measurement(row.get(name), 0, _LONGEST_MS) for name in TIME_COLUMNS}
    degrees = (-_WIDEST_DEGREES, _WIDEST_DEGREES)
    labels |= {name: _measurement(row.get(name), *degrees) for name in AXIS_COLUMNS}
    labels |= {name: _text(row.get(name)) for name in _TEXT_COLUMNS}
    return [f'"{name}": {value}' for name, value in sorted(labels.items()) if value]


@functools.lru_cache(1000)
def _text(text: str | None) -> str:
    """Return a text as JSON, empty when there is none."""
    return json.dumps(text) if text else ""


@functools.lru_cache(10_000)
def _measurement(text: str | None, least: int, most: int) -> str:
    """Return a number as JSON, with a point as measurements have it; empty when there is none."""
    number = number_of(text)
    if number is None or not least <= number <= most:
        return ""
    return repr(number)


def read_subjects(path: Path) -> dict[str, Subject]:
    """Read MIMIC-IV's ``patients.csv`` (``.csv.gz`` unpacked); subject id -> sex and age.

    Raises:
        ManifestError: it is missing, lacks a column, or a number is none.
    """
    subjects = {}
    for number, row in enumerate(read_columns(path, _PATIENT_COLUMNS, "MIMIC-IV's patients"), 2):
        age, year = number_of(row["anchor_age"]), number_of(row["anchor_year"])
        if age is None or year is None or not datetime.MINYEAR <= year <= datetime.MAXYEAR:
            raise ManifestError(
                f"{path} line {number}: anchor_age {row['anchor_age']!r}, anchor_year "
                f"{row['anchor_year']!r}; expected numbers"
            )
        group = _YEAR_GROUP.fullmatch(row["anchor_year_group"].strip())
        middle = (int(group[1]) + int(group[2])) // 2 if group else None
        sex = parse_sex(row["gender"])
        subjects[whole_number(row["subject_id"])] = Subject(sex, age, int(year), middle)
    return subjects
