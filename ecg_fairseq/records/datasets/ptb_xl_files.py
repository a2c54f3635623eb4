"""PTB-XL's own tables: ``ptbxl_database.csv`` and ``scp_statements.csv``.

Splits follow the published ``strat_fold``: 1-8 train, 9 validation, 10 test. Wagner et al., PTB-XL,
Scientific Data 7, 154 (2020).
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.csv_table import number_of, whole_number
from ecg_fairseq.records.labels.label_table import truth_of
from ecg_fairseq.records.manifest.splits import keep_fraction
from ecg_fairseq.records.readers.csv_table import read_csv_lines, rows_of
from ecg_fairseq.records.readers.wfdb_comments import parse_age, parse_sex
from ecg_fairseq.records.source_record import SourceRecord, labels_text

RATES = (500, 100)
ID_COLUMNS = ("ecg_id",)
_FILE_COLUMN = {500: "filename_hr", 100: "filename_lr"}
_NEEDED = ("ecg_id", "patient_id", "scp_codes", "strat_fold")
_KEPT_AS_TEXT = (
    "heart_axis",
    "infarction_stadium1",
    "infarction_stadium2",
    "baseline_drift",
    "static_noise",
    "burst_noise",
    "electrodes_problems",
    "extra_beats",
    "pacemaker",
)
_SEXES = {"0": "male", "1": "female"}


@dataclass(frozen=True)
class ScpStatement:
    """One line of ``scp_statements.csv``: what kinds a code belongs to and its classes."""

    superclass: str
    subclass: str
    is_diagnostic: bool
    is_form: bool
    is_rhythm: bool


def read_scp_statements(folder: Path) -> dict[str, ScpStatement]:
    """Read the statement table; ManifestError when it is missing or of another form."""
    statements = {}
    for row in _read_csv(folder / "scp_statements.csv", ("diagnostic", "diagnostic_class")):
        statements[row.get("", "").strip()] = ScpStatement(
            superclass=row["diagnostic_class"] or "",
            subclass=row.get("diagnostic_subclass") or "",
            is_diagnostic=_is_one(row, "diagnostic"),
            is_form=_is_one(row, "form"),
            is_rhythm=_is_one(row, "rhythm"),
        )
    return statements


def _is_one(row: dict[str, str], column: str) -> bool:
    """Return whether a mark is set: ``1.0`` in the published table, else empty."""
    cell = (row.get(column) or "").strip()
    truth = False if cell.lower() in ("", "nan", "na") else truth_of(cell)
    if truth is None:
        raise ManifestError(
            f"scp_statements.csv, {row.get('')}: column {column} holds {cell!r}; expected 1 or "
            "nothing: copy the table again"
        )
    return truth


def _read_csv(path: Path, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    if not path.exists():
        raise ManifestError(
            f"{path} not found; expected PTB-XL's own layout (ptbxl_database.csv, "
            "scp_statements.csv, records500/) in the folder that was given"
        )
    lines = read_csv_lines(path, "")
    header = next(lines, [])
    missing = [name for name in needed if name not in header]
    if missing:
        raise ManifestError(
            f"{path} has no column {', '.join(missing)} (found: {', '.join(header)}); is it "
            "PTB-XL's file?"
        )
    yield from rows_of(header, lines)


def parse_scp_codes(text: str, where: str) -> dict[str, float]:
    """Parse ``{'NORM': 100.0, 'SR': 0.0}``; ManifestError starts with ``where``."""
    try:
        value = ast.literal_eval(text)
        return {str(code): float(likelihood) for code, likelihood in value.items()}
    except (ValueError, SyntaxError, TypeError, AttributeError, RecursionError, MemoryError) as e:
        raise ManifestError(
            f"{where}: scp_codes {text[:80]!r} is not a dict of code and likelihood"
        ) from e


def scp_labels(codes: dict[str, float], statements: dict[str, ScpStatement]) -> dict[str, Any]:
    """Return PTB-XL's label sets of a record: codes and the classes they add up to."""
    known = {code: statements[code] for code in codes if code in statements}
    diagnostic = [item for item in known.values() if item.is_diagnostic]
    return {
        "scp_codes": codes,
        "superclass": sorted({item.superclass for item in diagnostic} - {""}),
        "subclass": sorted({item.subclass for item in diagnostic} - {""}),
        "rhythm": sorted(code for code, item in known.items() if item.is_rhythm),
        "form": sorted(code for code, item in known.items() if item.is_form),
    }


def split_of_fold(fold: int) -> str:
    """Return train for folds 1-8, valid for 9, test for 10."""
    return {9: "valid", 10: "test"}.get(fold, "train")


def read_ptb_xl(
    folder: Path, rate: int = 500, statements_needed: bool = True
) -> list[SourceRecord]:
    """Read the database: one source per line, with its published split.

    Args:
        folder: PTB-XL's folder.
        rate: 500 or 100; which of the two files of a record is meant.

    Raises:
        ManifestError: folder, tables or a field are missing or damaged.
    """
    if not folder.is_dir():
        raise ManifestError(f"PTB-XL folder not found: {folder}; check the path")
    if rate not in RATES:
        raise ManifestError(f"--rate {rate}; PTB-XL has {RATES[0]} and {RATES[1]} Hz files")
    statements = read_scp_statements(folder) if statements_needed else {}
    column = _FILE_COLUMN[rate]
    path = folder / "ptbxl_database.csv"
    return [
        _source(row, folder, column, statements, f"{path} record {row['ecg_id']}")
        for row in _read_csv(path, (*_NEEDED, column))
    ]


def _source(
    row: dict[str, str],
    folder: Path,
    column: str,
    statements: dict[str, ScpStatement],
    where: str,
) -> SourceRecord:
    name = row[column] or ""
    relative = PurePosixPath(name)
    if not name or relative.is_absolute() or ".." in relative.parts or "\\" in name:
        raise ManifestError(f"{where}: {column} is {name!r}; expected a path below the dataset")
    fold = number_of(row["strat_fold"])
    if fold is None or not 1 <= fold <= 10:
        raise ManifestError(f"{where}: strat_fold {row['strat_fold']!r}; expected 1 to 10")
    if not row["patient_id"] or not row["ecg_id"]:
        raise ManifestError(f"{where}: ecg_id and patient_id must not be empty")
    labels = scp_labels(parse_scp_codes(row["scp_codes"], where), statements)
    labels |= {key: row[key] for key in _KEPT_AS_TEXT if row.get(key)}
    return SourceRecord(
        record_id=whole_number(row["ecg_id"]),
        patient_id=whole_number(row["patient_id"]),
        path=str(folder.resolve() / relative),
        source=str(relative),
        split=split_of_fold(int(fold)),
        age=parse_age(row.get("age") or ""),
        sex=_SEXES.get(whole_number(row.get("sex") or "")) or parse_sex(row.get("sex") or ""),
        labels_json=labels_text(labels),
        report=row.get("report") or "",
    )


def kept_records(folder: Path, rate: int, fraction: float, seed: int) -> list[SourceRecord]:
    """Return the records of a share of the patients; arguments and errors: :func:`read_ptb_xl`."""
    return [
        source
        for source in read_ptb_xl(folder, rate)
        if keep_fraction(source.patient_id, fraction, seed)
    ]
