"""Label files of a classification problem, in the form in which fairseq-signals writes them.

``y.npy``: float64 (N, K), row ``idx`` belongs to recording ``idx``. ``label_def.csv``: how often
each label is positive, in each split and in all. ``pos_weight.txt``: the weights of positive
examples in the training split, for ``criterion.pos_weight``. Format: fact sheet ecg-fm 1.5.

A label without a positive training example has the weight ``inf``, as published; the criterion
refuses that, so then ``pos_weight_finite.txt`` stands beside it, with 1 in such places.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import atomic_write, read_json, sha256_of_file, write_json
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.readers.csv_table import read_csv_lines
from ecg_fairseq.records.record_row import RecordRow

LABEL_FOLDER = "labels"
MATRIX_FILE = "y.npy"
DEFINITION_FILE = "label_def.csv"
WEIGHTS_FILE = "pos_weight.txt"
FINITE_WEIGHTS_FILE = "pos_weight_finite.txt"
OWNER_FILE = "y.json"
LABEL_FILES = (MATRIX_FILE, DEFINITION_FILE, WEIGHTS_FILE, FINITE_WEIGHTS_FILE, OWNER_FILE)
RECORDS_FILE = "records.tsv"
_WEIGHT_DIGITS = 6
Columns = dict[str, list[float]]


@dataclass(frozen=True)
class LabelMatrix:
    """Labels of recordings.

    Attributes:
        names: of the K labels.
        values: float64 (N, K), 0 or 1; a row of NaN for a recording that nobody labelled.
        splits: N names of splits (``train``, ...), empty for a recording in none.
    """

    names: tuple[str, ...]
    values: np.ndarray
    splits: tuple[str, ...]

    @property
    def is_labelled(self) -> np.ndarray:
        """Bool (N,): whether a recording has labels."""
        return ~np.isnan(self.values).any(axis=1)

    def counts(self) -> dict[str, int]:
        """Return split -> number of labelled recordings; splits without any are left out."""
        labelled = [s for s, has in zip(self.splits, self.is_labelled, strict=True) if has and s]
        return {split: labelled.count(split) for split in sorted(set(labelled))}


def label_matrix(label_set: LabelSet, rows: Sequence[RecordRow]) -> LabelMatrix:
    """Return the labels of the records of a manifest; skipped records are unlabelled.

    Raises:
        ManifestError: the label set has no label, or one twice.
    """
    names = label_set.labels
    if not names or len(set(names)) != len(names):
        raise ManifestError(
            f"label set {label_set.name!r} has {len(names)} labels, {len(set(names))} of them "
            "different; expected at least one, each once"
        )
    column = {name: number for number, name in enumerate(names)}
    values = np.full((len(rows), len(names)), np.nan)
    for number, row in enumerate(rows):
        positives = label_set.positives(row) if row.is_ok else None
        if positives is not None:
            values[number] = 0.0
            values[number, [column[name] for name in positives if name in column]] = 1.0
    return LabelMatrix(names, values, tuple(row.split if row.is_ok else "" for row in rows))


def definition_columns(matrix: LabelMatrix) -> Columns:
    """Return the columns of ``label_def.csv``, each with one number for each label.

    First ``pos_count_SIDE``, ``pos_percent_SIDE`` (a share, despite its name) and
    ``pos_weight_SPLIT`` ((1 - share) / share, infinite without a positive) of all splits in
    alphabetical order, then count and share of all labelled recordings.
    """
    labelled = matrix.is_labelled
    splits = np.array(matrix.splits, dtype=object)
    found = {split: matrix.values[labelled & (splits == split)] for split in matrix.counts()}
    counts = {split: values.sum(axis=0).astype(int).tolist() for split, values in found.items()}
    shares = {split: [n / len(found[split]) for n in counts[split]] for split in found}
    columns: Columns = {f"pos_count_{split}": counts[split] for split in found}
    columns |= {f"pos_percent_{split}": shares[split] for split in found}
    columns |= {
        f"pos_weight_{split}": [
            (1 - share) / share if share else math.inf for share in shares[split]
        ]
        for split in found
    }
    whole = matrix.values[labelled].sum(axis=0).astype(int).tolist()
    columns["pos_count_all"] = whole
    columns["pos_percent_all"] = [n / max(1, int(labelled.sum())) for n in whole]
    return columns


def definition_text(names: Sequence[str], columns: Columns) -> str:
    """Return ``label_def.csv`` as text."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["name", *columns])
    for number, name in enumerate(names):
        writer.writerow([name, *(repr(values[number]) for values in columns.values())])
    return stream.getvalue()


def weights_text(columns: Columns, split: str = "train", finite: bool = False) -> str | None:
    """Return ``pos_weight.txt`` as text, or None when no record of the split is labelled.

    Args:
        columns: see :func:`definition_columns`.
        split: whose weights.
        finite: give weight 1 to labels that are positive in no record, or in every one.
    """
    weights = columns.get(f"pos_weight_{split}")
    if weights is None:
        return None
    rounded = [float(weight) for weight in np.round(weights, _WEIGHT_DIGITS)]
    if finite:
        rounded = [weight if 0 < weight < math.inf else 1.0 for weight in rounded]
    return f"[{','.join(map(repr, rounded))}]"


def write_label_files(folder: Path, matrix: LabelMatrix) -> None:
    """Write ``y.npy``, ``label_def.csv`` and the weights into ``folder``.

    ``pos_weight.txt`` is left out when no training record is labelled. Where the folder above holds
    a table of records, ``y.json`` says so with its hash: see :func:`check_label_owner`.

    Raises:
        EcgError: a file cannot be written.
    """
    with atomic_write(folder / MATRIX_FILE, "wb") as stream:
        np.save(stream, matrix.values)
    records = folder.parent / RECORDS_FILE
    if records.is_file():
        owner = {
            "records_sha256": sha256_of_file(records),
            "sha256": sha256_of_file(folder / MATRIX_FILE),
        }
        write_json(folder / OWNER_FILE, owner)
    columns = definition_columns(matrix)
    with atomic_write(folder / DEFINITION_FILE) as stream:
        stream.write(definition_text(matrix.names, columns))
    published, finite = weights_text(columns), weights_text(columns, finite=True)
    for name, text in (
        (WEIGHTS_FILE, published),
        (FINITE_WEIGHTS_FILE, finite if finite != published else None),
    ):
        if text is not None:
            with atomic_write(folder / name) as stream:
                stream.write(text)


def check_label_owner(matrix: Path, records: Path) -> str | None:
    """Compare what stands beside a label matrix with the table of records it is to be used with.

    Args:
        matrix: path of a ``y.npy``.
        records: path of a ``records.tsv``.

    Returns:
        What cannot be known or should be looked at; None where all is well.

    Raises:
        ManifestError: row i of the matrix is not of record i of that table.
    """
    path = matrix.with_name(Path(matrix.name).stem + ".json")
    if not path.is_file():
        return f"{matrix} does not say of which records it is; only their number was compared"
    owner = read_json(path, ManifestError, "note of a label matrix")
    stated = owner.get("records_sha256") if isinstance(owner, dict) else None
    if stated != sha256_of_file(records):
        raise ManifestError(
            f"{matrix} was made for another table of records (hash {str(stated)[:12]}) than "
            f"{records}, which was sorted or edited since, or is another manifest's: row i is the "
            "label of record i; make the manifest anew"
        )
    if owner.get("sha256") != sha256_of_file(matrix):
        return (
            f"{matrix} was changed after the preparation wrote it; its rows must still be in the "
            f"order of {records}"
        )
    return None


def labels_without_weight(matrix: LabelMatrix) -> list[str]:
    """Return the labels that are true of no training record, or of every one."""
    weights = definition_columns(matrix).get("pos_weight_train", [])
    return [
        name
        for name, weight in zip(matrix.names, weights, strict=False)
        if not 0 < weight < math.inf
    ]


def read_label_names(path: Path) -> tuple[str, ...]:
    """Return the label names in a ``label_def.csv``; ManifestError when it is not one."""
    rows = list(read_csv_lines(path, "label definition"))
    if not rows or rows[0][0] != "name":
        raise ManifestError(f"{path} does not start with the column name; is it a label_def.csv?")
    return tuple(row[0] for row in rows[1:])


def read_label_files(folder: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Return (K names, values float64 (N, K)) of a folder with ``y.npy`` and ``label_def.csv``.

    Raises:
        ManifestError: one is missing, damaged, or they do not fit together.
    """
    names = read_label_names(folder / DEFINITION_FILE)
    path = folder / MATRIX_FILE
    try:
        # Mapped, so that a header cannot ask for more memory than the file has bytes.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        # numpy raises almost every built-in exception on damaged headers.
        raise ManifestError(f"label matrix {path} cannot be read: {error}") from error
    is_numbers = isinstance(values, np.ndarray) and values.dtype.kind in "fiub"
    if not is_numbers or values.ndim != 2 or values.shape[1] != len(names):
        raise ManifestError(
            f"{path} has shape {getattr(values, 'shape', None)}; expected numbers (records, "
            f"{len(names)} labels) as {DEFINITION_FILE} names"
        )
    return names, values.astype(np.float64)
