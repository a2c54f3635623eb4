"""Tables as people have them: what the cells of own data's labels table say, and what is odd."""

import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.labels.label_table import (
    is_label_column,
    meant_column,
    plain_name,
    truth_of,
)
from ecg_fairseq.records.readers.csv_table import read_user_lines
from ecg_fairseq.records.readers.wfdb_comments import parse_age, parse_sex

Table = list[dict[str, str]]
RESERVED = ("record_id", "patient_id", "split", "age", "sex", "report")
_SAYS_NOTHING = ("", "nan", "na", "n/a", "none", "null", "<na>", "unknown")
_EXAMPLES = 3


def read_table(path: Path) -> Table:
    """Read a table with a header line; ManifestError when it is missing or damaged."""
    lines = read_user_lines(path, "table")
    header = next(lines, [])
    rows = []
    for number, cells in enumerate(lines, 2):
        if len(cells) != len(header):
            raise ManifestError(
                f"table {path} line {number} has not as many cells as the header; quote texts that "
                "hold commas"
            )
        rows.append(dict(zip(header, cells, strict=True)))
    if not rows:
        raise ManifestError(f"table {path} has no lines below its header")
    return rows


def says_nothing(cell: str) -> bool:
    """Return whether a cell stands for a value that is not known."""
    return cell.strip().lower() in _SAYS_NOTHING


def age_of(cell: str, where: str) -> float | None:
    """Return years, None when the cell says nothing; ``>89`` and ``90+`` are 300 as in PTB-XL.

    Raises:
        ManifestError: it says something that is no age.
    """
    if says_nothing(cell):
        return None
    age = parse_age(cell)
    if age is None:
        raise ManifestError(
            f"{where}: age {cell!r} is not a number of years; leave it empty where it is not known"
        )
    return age


def label_columns(table: Table) -> tuple[tuple[str, ...], list[str]]:
    """Return the columns that are labels, and the other ones that are not :data:`RESERVED`.

    A label column holds 0 and 1; one cell, or a tenth of them, may say neither.
    """
    columns = [name for name in (table[0] if table else ()) if name and name not in RESERVED]
    labels = []
    for name in columns:
        unreadable = sum(truth_of(row[name]) is None for row in table)
        if is_label_column(len(table), unreadable):
            labels.append(name)
    return tuple(labels), [name for name in columns if name not in labels]


def table_notes(path: Path, table: Table) -> dict[str, Any]:
    """Say on stderr what is odd in a labels table, and return it for ``meta.json``."""
    notes: dict[str, Any] = {}
    columns = list(table[0])
    for name in columns:
        meant = meant_column(name)
        if meant and meant not in columns:
            _say(path, f"column {name} is not read as {meant}; rename it if it is that")
    labels, others = label_columns(table)
    if others:
        _say(path, f"columns that do not hold 0 and 1 are no labels: {', '.join(others)}")
    unreadable = {name: sum(truth_of(row[name]) is None for row in table) for name in labels}
    if unreadable := {name: count for name, count in unreadable.items() if count}:
        shown = ", ".join(f"{name} ({count})" for name, count in unreadable.items())
        _say(path, f"cells that are neither 0 nor 1 leave their records unlabelled: {shown}")
        notes["label_cells_not_0_1"] = unreadable
    if "patient_id" in columns:
        without = sum(says_nothing(row["patient_id"]) for row in table)
        if without:
            _say(path, f"{without} records have no patient_id; each counts as its own patient")
            notes["records_without_patient"] = without
        if alike := nearly_equal(row["patient_id"] for row in table):
            shown = "; ".join(" and ".join(map(repr, group)) for group in alike[:_EXAMPLES])
            _say(
                path,
                f"{len(alike)} groups of patient_id are nearly equal and count as different "
                f"patients, who may end on different sides: {shown}; write each in one way",
            )
            notes["patient_ids_nearly_equal"] = alike
    unknown = [c for c in (row.get("sex", "") for row in table) if not says_nothing(c)]
    if unknown := [cell for cell in unknown if not parse_sex(cell)]:
        kinds = ", ".join(map(repr, sorted(set(unknown))[:_EXAMPLES]))
        _say(path, f"sex of {len(unknown)} records is not read ({kinds}); expected female or male")
        notes["sexes_not_read"] = len(unknown)
    return notes


def nearly_equal(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of different names that may be one: ``5``, ``5.0``, ``0005``, ``P1``.

    >>> nearly_equal(["5", "P1", "0005", "7", "p1"])
    [['0005', '5'], ['P1', 'p1']]
    """
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(plain_name(name), set()).add(name)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def positives_of(names: Collection[str], labels: dict[str, Any]) -> list[str] | None:
    """Return the labels that are true of a record; None when a cell says neither 0 nor 1."""
    truths = {name: truth_of(str(labels.get(name, ""))) for name in names}
    if None in truths.values():
        return None
    return [name for name, truth in truths.items() if truth]


def _say(path: Path, message: str) -> None:
    print(f"{path}: {message}", file=sys.stderr)
