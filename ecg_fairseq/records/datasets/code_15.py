"""CODE-15%: exams.csv with exams_part0..17.hdf5, or fairseq-signals' meta.csv and org/*.mat.

    ecg-fairseq prepare code_15 RAW_DIR --out DIR --recipe ecg_fm --workers 8

No split is published: splits are drawn by patient, or read from a file (--split file). The parts
hold other exams in another order than the table, end with a row of zeros (exam 0), and fill short
tracings up with zeros; ``trace_file`` is empty for some exams, so tracings are found by
``exam_id``. fairseq-signals' form may have ``labels/labels.csv`` and ``meta_split.csv``, too.
Ribeiro et al., Zenodo 4916206; Nature Communications 11, 1760 (2020); fact sheet ecg-fm 1.2 to 1.5.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.records.datasets.csv_table import number_of, read_columns, whole_number
from ecg_fairseq.records.datasets.options import add_split_option, choice_from
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.labels.label_table import truth_of
from ecg_fairseq.records.manifest.splits import keep_fraction
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.readers.code_15_hdf5 import read_exam_ids
from ecg_fairseq.records.readers.wfdb_comments import parse_age
from ecg_fairseq.records.record_row import SPLITS, RecordRow
from ecg_fairseq.records.source_record import SourceRecord, labels_text

RAW_HELP = "CODE-15%'s folder (holds exams.csv, or meta.csv and org/)"
DIAGNOSES = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
NORMAL, MALE = "normal_ecg", "is_male"
LABEL_SETS = {"code_15": (MALE, *DIAGNOSES, NORMAL), "code_15_diagnoses": DIAGNOSES}
LABEL_SET_CHOICES = (*LABEL_SETS, "none")
SPLIT_RULES = ("patient", "file")
SPLIT_FILE = "meta_split.csv"
_NEEDED = ("exam_id", "patient_id", "age", MALE, *DIAGNOSES, NORMAL)
_KEPT_NUMBERS = ("nn_predicted_age", "timey")
_SPLIT_KEYS = ("exam_id", "save_file", "idx")
ORIGINALS = "org"


@dataclass(frozen=True)
class Code15Choice:
    """What to take of CODE-15%.

    Attributes:
        split: ``patient`` (80/10/10, seeded) or ``file`` (``split_file``).
        split_file: CSV with ``split`` and one of ``exam_id``, ``save_file``, ``idx``; default
            ``meta_split.csv`` of the dataset's folder.
        label_set: one of ``LABEL_SET_CHOICES``.
    """

    split: str = "patient"
    split_file: Path | None = None
    label_set: str = "code_15"
    fraction: float = 1.0
    seed: int = 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only this dataset has."""
    add_split_option(parser, SPLIT_RULES)
    parser.add_argument(
        "--split-file",
        type=Path,
        metavar="CSV",
        help=f"for --split file: split and exam_id, save_file or idx (default {SPLIT_FILE})",
    )
    parser.add_argument(
        "--label-set",
        choices=LABEL_SET_CHOICES,
        default="code_15",
        help="columns of labels/y.npy: fairseq-signals' eight, or the six diagnoses",
    )


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return code_15_dataset(arguments.raw_dir, choice_from(Code15Choice, arguments))


def code_15_dataset(folder: Path, choice: Code15Choice) -> RawDataset:
    """Return CODE-15% as a dataset, in the order of its table.

    Exams whose part is not in the folder are counted in the notes; exams that a present part
    should hold and does not are left out with a reason.

    Raises:
        ManifestError: tables or parts are missing or damaged; unknown options; nothing left.
    """
    if choice.split not in SPLIT_RULES or choice.label_set not in LABEL_SET_CHOICES:
        raise ManifestError(
            f"--split {choice.split!r} --label-set {choice.label_set!r}; expected one of "
            f"{SPLIT_RULES} and one of {LABEL_SET_CHOICES}"
        )
    if not folder.is_dir():
        raise ManifestError(f"CODE-15% folder not found: {folder}; check the path")
    rows, tracings = _published(folder) if _is_published(folder) else _of_fairseq_signals(folder)
    has_file = choice.split == "file"
    split_of = _splits(choice.split_file or folder / SPLIT_FILE) if has_file else {}
    sources: list[SourceRecord] = []
    left_out: list[tuple[str, str, str]] = []
    absent: Counter = Counter()
    for row in rows:
        exam_id, patient_id = row["exam_id"], row["patient_id"]
        if not keep_fraction(patient_id, choice.fraction, choice.seed):
            continue
        place = tracings.places.get(exam_id)
        split = _split(row, split_of)
        if place is not None and (split or not has_file):
            sources.append(_source(row, tracings.files[place[0]], place[1], split))
        elif place is not None:
            left_out.append((exam_id, patient_id, "the split file gives it no side"))
        elif row.get("trace_file") and row["trace_file"] not in tracings.names:
            absent[row["trace_file"]] += 1
        else:
            left_out.append((exam_id, patient_id, "there is no tracing of this exam"))
    if not sources:
        raise ManifestError(
            f"none of the exams of {folder} is left: {len(left_out)} have no tracing or no side, "
            f"{absent.total()} are of parts that are not there; check the folder and the options"
        )
    if absent:
        print(
            f"{absent.total()} exams are of {len(absent)} parts that {folder} does not hold",
            file=sys.stderr,
        )
    return RawDataset(
        "code_15",
        sources,
        choice.split,
        label_set=code_15_label_set(choice.label_set),
        id_columns=("exam_id",),
        left_out=left_out,
        notes={"exams_of_absent_parts": absent.total()} if absent else {},
    )


def code_15_label_set(name: str) -> LabelSet | None:
    """Return a label set by name, or None for ``none``."""
    labels = LABEL_SETS.get(name)
    return None if labels is None else LabelSet(name, labels, _positives)


def _positives(row: RecordRow) -> Collection[str] | None:
    labels = row.labels
    if NORMAL not in labels:
        return None
    names = set(labels.get("diagnoses", ()))
    names |= {NORMAL} if labels[NORMAL] else set()
    return names | ({MALE} if row.sex == "male" else set())


def _source(row: dict[str, str], path: str, number: int, split: str) -> SourceRecord:
    where = f"exam {row['exam_id']}"
    labels: dict[str, object] = {
        "diagnoses": [name for name in DIAGNOSES if _truth(row, name, where)],
        NORMAL: _truth(row, NORMAL, where),
    }
    labels |= {name: number_of(row.get(name)) for name in _KEPT_NUMBERS}
    labels["death"] = truth_of(row.get("death") or "")
    name = path.rpartition("/")[2]
    return SourceRecord(
        record_id=row["exam_id"],
        patient_id=row["patient_id"],
        path=path,
        source=f"{ORIGINALS}/{name}" if number < 0 else f"{name}:{number}",
        split=split,
        age=parse_age(row["age"]),
        sex="male" if _truth(row, MALE, where) else "female",
        labels_json=labels_text(labels),
        array_row=number,
    )


def _truth(row: Mapping[str, str], name: str, where: str) -> bool:
    truth = truth_of(row[name])
    if truth is None:
        raise ManifestError(
            f"{where}: column {name} holds {row[name][:40]!r}; expected True, False"
        )
    return truth


# The two forms of the dataset ---------------------------------------------------------------------


def _is_published(folder: Path) -> bool:
    for name in ("exams.csv", "meta.csv"):
        if (folder / name).is_file():
            return name == "exams.csv"
    raise ManifestError(
        f"{folder} holds neither exams.csv (CODE-15% as published, with exams_part*.hdf5) nor "
        "meta.csv (as fairseq-signals prepares it, with org/*.mat)"
    )


@dataclass(frozen=True)
class _Tracings:
    """Where tracings are: exam id -> (number of the file, row in it, or -1 for a ``.mat``)."""

    files: list[str]
    names: set[str]
    places: dict[str, tuple[int, int]]


def _published(folder: Path) -> tuple[Iterator[dict[str, str]], _Tracings]:
    parts = sorted(folder.glob("exams_part*.hdf5"), key=lambda path: (len(path.name), path.name))
    if not parts:
        raise ManifestError(f"{folder} holds no exams_part*.hdf5; unpack the archives of tracings")
    places: dict[str, tuple[int, int]] = {}
    for part, path in enumerate(parts):
        try:
            exam_ids = read_exam_ids(path).tolist()
        except RecordError as error:
            raise ManifestError(str(error)) from error
        for number, exam_id in enumerate(exam_ids):
            if not exam_id:
                continue  # the row of zeros at the end of a part
            first = places.setdefault(str(exam_id), (part, number))
            if first != (part, number):
                raise ManifestError(
                    f"exam {exam_id} is in {parts[first[0]].name} row {first[1]} and in "
                    f"{path.name} row {number}; download both again"
                )
    files = [str(path.resolve()) for path in parts]
    tracings = _Tracings(files, {path.name for path in parts}, places)
    return _rows(folder / "exams.csv", _NEEDED), tracings


def _of_fairseq_signals(folder: Path) -> tuple[Iterator[dict[str, str]], _Tracings]:
    """Return the rows with the labels of ``labels.csv``, and where the ``.mat`` are."""
    path = folder / "labels" / "labels.csv"
    columns = (MALE, *DIAGNOSES, NORMAL)
    labels = {}
    if path.is_file():
        table = read_columns(path, ("idx", *columns), "labels of CODE-15%")
        labels = {row["idx"]: row for row in table}
    tracings = _Tracings([], set(), {})
    rows = list(_rows(folder / "meta.csv", (*_NEEDED, "idx", "save_file")))
    for row in rows:
        row.update({name: labels[row["idx"]][name] for name in columns if row["idx"] in labels})
        row.pop("trace_file", None)
        path = folder / ORIGINALS / _file_name(row["save_file"])
        if path.is_file():
            tracings.places[row["exam_id"]] = (len(tracings.files), -1)
            tracings.files.append(str(path.resolve()))
    return iter(rows), tracings


def _file_name(name: str) -> str:
    if not name or PurePosixPath(name).name != name or "\\" in name:
        raise ManifestError(f"meta.csv: save_file is {name!r}; expected the name of a .mat in org/")
    return name


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield the rows of a table of exams, ids as whole numbers.

    Each gets the ``idx`` and ``save_file`` that fairseq-signals gives the exam, so that its splits
    fit the published dataset, too.
    """
    for number, row in enumerate(read_columns(path, needed, "table of CODE-15%")):
        row["exam_id"] = whole_number(row["exam_id"])
        row["patient_id"] = whole_number(row["patient_id"])
        if not row["exam_id"] or not row["patient_id"]:
            raise ManifestError(
                f"{path}: a line has no exam_id or no patient_id; download it again"
            )
        row.setdefault("idx", str(number))
        row.setdefault("save_file", f"code_15_{row['exam_id']}.mat")
        yield row


def _splits(path: Path) -> dict[tuple[str, str], str]:
    """Return (column, cell) -> split as a split file has it."""
    table = list(read_columns(path, ("split",), "split file"))
    columns = table[0].keys() if table else ()
    key = next((name for name in _SPLIT_KEYS if name in columns), None)
    if key is None:
        raise ManifestError(
            f"split file {path} has the columns {', '.join(columns)}; expected split and one of "
            f"{', '.join(_SPLIT_KEYS)}"
        )
    unknown = sorted({row["split"] for row in table} - set(SPLITS))
    if unknown:
        raise ManifestError(f"{path}: split {unknown[0]!r}; expected one of {', '.join(SPLITS)}")
    return {(key, row[key]): row["split"] for row in table}


def _split(row: Mapping[str, str], split_of: Mapping[tuple[str, str], str]) -> str:
    return next(
        (split_of[name, row[name]] for name in _SPLIT_KEYS if (name, row[name]) in split_of), ""
    )
