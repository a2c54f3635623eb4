"""LUDB, the Lobachevsky University database: 200 ECGs of ten seconds, data/N.hea.

    ecg-fairseq prepare ludb RAW_DIR --out DIR --recipe ecg_fm --label-set rhythm

Rhythm, axis and diagnoses stand in the header comments after ``<diagnoses>:`` (and, the same, in
ludb.csv). Lead names are in lower case and every lead has a gain and a baseline of its own. The
delineation marks are not read. Kalyakulina et al., doi 10.13026/eegm-h675.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.records.datasets.header_layout import RecordNaming
from ecg_fairseq.records.datasets.options import add_split_option
from ecg_fairseq.records.labels.label_set import label_set_of_what_occurs
from ecg_fairseq.records.manifest.splits import keep_fraction
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.readers.csv_table import read_csv_lines, rows_of
from ecg_fairseq.records.readers.wfdb_comments import (
    comment_lines,
    comment_value,
    parse_age,
    parse_sex,
)
from ecg_fairseq.records.readers.wfdb_header import read_header_text
from ecg_fairseq.records.source_record import SourceRecord, labels_text

RAW_HELP = "LUDB's folder (holds data/1.hea)"
# name of a label set -> kinds of labels
LABEL_SETS = {"all": ("rhythm", "heart_axis", "diagnoses"), "rhythm": ("rhythm",)}
_TABLE = "ludb.csv"
_NAMING = RecordNaming("LUDB", "", "1")
_DIAGNOSES = re.compile(r"<diagnoses>\s*:?", re.IGNORECASE)
_RHYTHM, _AXIS = "rhythm:", "electric axis of the heart:"


def parse_diagnoses(statements: Sequence[str]) -> dict[str, Any]:
    """Return labels of a record's statements.

    Args:
        statements: one a line, such as ``Rhythm: Sinus bradycardia.``

    Returns:
        ``rhythm`` and ``heart_axis`` as texts, ``diagnoses`` as a list; lower case, without the
        full stop. The two first are not among the diagnoses.

    >>> parse_diagnoses(["Rhythm: Sinus rhythm.", "Left ventricular hypertrophy. "])["rhythm"]
    'sinus rhythm'
    """
    labels: dict[str, Any] = {"rhythm": "", "heart_axis": "", "diagnoses": []}
    for statement in statements:
        text = " ".join(statement.lower().split()).rstrip(" .")
        if text.startswith(_RHYTHM):
            labels["rhythm"] = text.removeprefix(_RHYTHM).strip()
        elif text.startswith(_AXIS):
            labels["heart_axis"] = text.removeprefix(_AXIS).strip()
        elif text and text not in labels["diagnoses"]:
            labels["diagnoses"].append(text)
    return labels


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only this dataset has."""
    add_split_option(parser, ("patient",))
    parser.add_argument(
        "--label-set", choices=list(LABEL_SETS), default="all", help="columns of labels/y.npy"
    )


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return ludb_dataset(arguments.raw_dir, arguments.label_set, arguments.fraction, arguments.seed)


def ludb_dataset(
    folder: Path, label_set: str = "all", fraction: float = 1.0, seed: int = 0
) -> RawDataset:
    """Return LUDB as a dataset; each record is a patient, splits are drawn.

    Args:
        folder: LUDB's folder, or its ``data/``.
        label_set: ``all`` (rhythms, axes and diagnoses that occur) or ``rhythm``.
        fraction: share of the patients to keep.

    Raises:
        ManifestError: no header is there, the table is damaged, or an unknown label set.
    """
    if label_set not in LABEL_SETS:
        raise ManifestError(f"--label-set {label_set!r}; expected one of {', '.join(LABEL_SETS)}")
    data = folder / "data" if (folder / "data").is_dir() else folder
    headers = [path for path in data.glob("*.hea") if not path.name.startswith(".")]
    if not headers:
        raise ManifestError(
            f"no WFDB header (*.hea) in {data}; expected LUDB's folder with data/1.hea"
        )
    headers.sort(key=lambda path: (len(path.stem), path.stem))
    own, others = _NAMING.own(headers, folder)
    sources = [_source(path) for path in own]
    kept = [item for item in sources if keep_fraction(item.patient_id, fraction, seed)]
    return RawDataset(
        "ludb",
        kept,
        "patient",
        left_out=[(path.stem, path.stem, _NAMING.why_left_out()) for path in others]
        + _not_here(folder, {source.record_id for source in sources}),
        label_set=label_set_of_what_occurs(label_set, LABEL_SETS[label_set], sources),
        notes={"patients": "each record its own patient, as published"},
    )


def _source(path: Path) -> SourceRecord:
    try:
        text = read_header_text(path)
    except RecordError:
        text = ""  # the preparation reads it again and lists it with the reason
    comments = comment_lines(text)
    begin = [number for number, line in enumerate(comments) if _DIAGNOSES.match(line)]
    statements = comments[begin[0] :] if begin else []
    statements = [_DIAGNOSES.sub("", line).strip() for line in statements]
    return SourceRecord(
        record_id=path.stem,
        patient_id=path.stem,
        path=str(path.resolve().with_suffix("")),
        source=f"data/{path.stem}",
        age=parse_age(comment_value(comments, "age")),
        sex=parse_sex(comment_value(comments, "sex")),
        labels_json=labels_text(parse_diagnoses(statements)),
        report=" ".join(filter(None, statements)),
    )


def _not_here(folder: Path, have: set[str]) -> list[tuple[str, str, str]]:
    """Return what ``ludb.csv`` lists and the folder does not hold."""
    tables = [path for path in (folder / _TABLE, folder.parent / _TABLE) if path.is_file()]
    if not tables:
        return []
    lines = read_csv_lines(tables[0], "")
    listed = [row.get("ID", "").strip() for row in rows_of(next(lines, []), lines)]
    reason = f"listed in {_TABLE}, but its header is not there; copy it again"
    return [(name, name, reason) for name in listed if name and name not in have]
