"""fairseq-signals' label files: ``y.npy``, ``label_def.csv`` and ``pos_weight.txt``.

A folder (or its ``code_15``) holds ``labels/labels.csv`` and ``meta_split.csv``; the three files
are looked for beside ``labels.csv``. Files ``label_def_A_B_C.csv`` and ``pos_weight_A_B_C.txt`` of
the folder itself are those of another split: the first A recordings, by idx, train, then B, then C.
"""

import csv
import math
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from ecg_fairseq.records.labels.label_files import (
    DEFINITION_FILE,
    MATRIX_FILE,
    WEIGHTS_FILE,
    LabelMatrix,
    definition_columns,
    definition_text,
    weights_text,
)
from ecg_fairseq.records.labels.label_table import truth_of
from ecg_fairseq.records.record_row import SPLITS
from parity_systems.check import Check, difference
from parity_systems.recorded import half_unit_of

_SIZES = re.compile(r"(label_def|pos_weight)_(\d+)_(\d+)_(\d+)\.(csv|txt)")


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield the comparisons of all label files of a folder."""
    folder = case_dir / "code_15" if (case_dir / "code_15").is_dir() else case_dir
    table = folder / "labels" / "labels.csv"
    if not table.is_file():
        return
    splits = _splits(folder / "meta_split.csv")
    matrix = read_matrix(table, splits)
    name = f"{folder.name}/labels"
    if (table.parent / MATRIX_FILE).is_file():
        theirs = np.load(table.parent / MATRIX_FILE, allow_pickle=False)
        # Published files hold zeros where nobody labelled a recording; ours hold NaN there.
        yield Check(f"{name}/{MATRIX_FILE}", difference(np.nan_to_num(matrix.values), theirs), 0)
    yield from _definition_checks(table.parent / DEFINITION_FILE, matrix, f"{name}/")
    yield from _weight_checks(table.parent / WEIGHTS_FILE, matrix, f"{name}/")
    for path in sorted(case_dir.iterdir()):
        if found := _SIZES.fullmatch(path.name):
            counts = [int(found[place]) for place in (2, 3, 4)]
            other = read_matrix(table, _splits_of_counts(matrix, counts))
            compare = _definition_checks if found[1] == "label_def" else _weight_checks
            yield from compare(path, other, f"{name}/{'_'.join(map(str, counts))}/")


def read_matrix(table: Path, splits: Mapping[int, str]) -> LabelMatrix:
    """Read ``labels.csv``: row idx of the matrix is the line with that idx."""
    with open(table, encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = tuple(name for name in rows[0] if name and name != "idx")
    values = np.full((max(int(row["idx"]) for row in rows) + 1, len(names)), np.nan)
    for row in rows:
        truths = [truth_of(row[name]) for name in names]
        if None in truths:
            raise ValueError(f"{table} idx {row['idx']}: expected True or False in every column")
        values[int(row["idx"])] = np.array(truths, dtype=float)
    return LabelMatrix(names, values, tuple(splits.get(idx, "") for idx in range(len(values))))


def _splits(path: Path) -> dict[int, str]:
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8-sig", newline="") as stream:
        return {int(row["idx"]): row["split"] for row in csv.DictReader(stream)}


def _splits_of_counts(matrix: LabelMatrix, counts: list[int]) -> dict[int, str]:
    splits = [split for split, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    places = np.flatnonzero(matrix.is_labelled).tolist()
    return dict(zip(places, splits, strict=True))


def _definition_checks(path: Path, matrix: LabelMatrix, prefix: str) -> Iterator[Check]:
    """Compare cell by cell; where it describes a larger data set, the labels' names alone."""
    if not path.is_file():
        return
    with open(path, encoding="utf-8-sig", newline="") as stream:
        theirs = list(csv.reader(stream))
    ours = list(csv.reader(definition_text(matrix.names, definition_columns(matrix)).splitlines()))
    if not any(cell.startswith("pos_weight_") for cell in theirs[0]):
        print(f"parity: {path} has no splits, so its names alone are compared", file=sys.stderr)
        ours, theirs = [row[:1] for row in ours], [row[:1] for row in theirs]
    yield Check(f"{prefix}{path.name}", _num_differing(ours, theirs), 0)


def _weight_checks(path: Path, matrix: LabelMatrix, prefix: str) -> Iterator[Check]:
    if not path.is_file():
        return
    text = weights_text(definition_columns(matrix)) or ""
    ours, theirs = ([re.split(r"[\[\],\s]+", words)] for words in (text, path.read_text()))
    yield Check(f"{prefix}{path.name}", _num_differing(ours, theirs), 0)


def _num_differing(ours: list[list[str]], theirs: list[list[str]]) -> float:
    """Return how many cells differ as texts or numbers; infinity when the shapes do."""
    if [len(row) for row in ours] != [len(row) for row in theirs]:
        return float("inf")
    pairs = zip(chain(*ours), chain(*theirs), strict=True)
    return float(sum(not _is_same(mine, other) for mine, other in pairs))


def _is_same(ours: str, theirs: str) -> bool:
    """Compare two cells; a number rounded by them may be rounded or not by us."""
    try:
        is_equal = ours == theirs or float(ours) == float(theirs)
        if is_equal or "." not in theirs or not math.isfinite(float(theirs)):
            return is_equal
        return abs(float(ours) - float(theirs)) <= half_unit_of(theirs)
    except ValueError:
        return False
