"""Predicted probabilities of labels, one recording a line: ``label_predictions.tsv``.

Columns: ``record_id``, ``patient_id``, then each label's probability under its name, then, where
the truth is known, ``true:LABEL`` with 0, 1 or nothing (not labelled). Ranks and AUROC of the
probabilities are those of the logits they were made from, up to logits of about 36, where a
probability becomes 1 exactly.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.files import atomic_write

FILE_NAME = "label_predictions.tsv"
_IDS = ("record_id", "patient_id")
_TRUE = "true:"
_TRUTHS = {"": math.nan, "0": 0.0, "1": 1.0}


@dataclass(frozen=True)
class LabelPredictions:
    """Probabilities and, where known, truth of recordings.

    Attributes:
        record_ids: N, each once.
        patient_ids: N.
        labels: names of the K labels.
        probabilities: float64 (N, K), 0 to 1; NaN where a label was not scored.
        truth: float64 (N, K) of 0, 1 and NaN; None when nothing is known.
    """

    record_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: np.ndarray
    truth: np.ndarray | None = None

    @classmethod
    def from_logits(
        cls,
        record_ids: Sequence[str],
        patient_ids: Sequence[str],
        labels: Sequence[str],
        logits: np.ndarray,
        truth: np.ndarray | None = None,
    ) -> "LabelPredictions":
        """Return the predictions that logits (N, K) stand for."""
        with np.errstate(invalid="ignore"):  # NaN stands for a label that was not scored
            probabilities = np.exp(-np.logaddexp(0.0, -np.asarray(logits, dtype=np.float64)))
        return cls(tuple(record_ids), tuple(patient_ids), tuple(labels), probabilities, truth)

    def __post_init__(self) -> None:
        shape = len(self.record_ids), len(self.labels)
        parts = [self.probabilities] if self.truth is None else [self.probabilities, self.truth]
        if any(part.shape != shape for part in parts) or len(self.patient_ids) != shape[0]:
            raise ScoreError(
                f"{shape[0]} recordings, {len(self.patient_ids)} patients and {shape[1]} labels "
                f"do not fit predictions {', '.join(str(part.shape) for part in parts)}"
            )
        with np.errstate(invalid="ignore"):
            wrong = (self.probabilities < 0) | (self.probabilities > 1)
        if wrong.any():
            raise ScoreError(
                f"{self.probabilities[wrong][0]} is no probability; use from_logits for logits"
            )
        columns = (*_IDS, *self.labels)
        bad = [name for name in self.labels if name.startswith(_TRUE) or not name.strip()]
        if bad or len(set(columns)) < len(columns) or len(set(self.record_ids)) < shape[0]:
            raise ScoreError(
                "labels and record ids must be unique, and no label empty or named like "
                f"{_IDS[0]}, {_IDS[1]} or {_TRUE}..."
            )


def write_label_predictions(path: Path | str, predictions: LabelPredictions) -> None:
    """Write the file, atomically; tabs and line ends in names become spaces.

    Raises:
        EcgError: it cannot be written.
    """
    header = [*_IDS, *predictions.labels]
    truth = predictions.truth
    if truth is not None:
        header += [_TRUE + name for name in predictions.labels]
    with atomic_write(path) as stream:
        stream.write("\t".join(map(_one_line, header)) + "\n")
        for row, names in enumerate(
            zip(predictions.record_ids, predictions.patient_ids, strict=True)
        ):
            cells = [_one_line(name) for name in names]
            cells += [_number(value) for value in predictions.probabilities[row]]
            if truth is not None:
                cells += ["" if np.isnan(value) else str(int(value)) for value in truth[row]]
            stream.write("\t".join(cells) + "\n")


def read_label_predictions(path: Path | str) -> LabelPredictions:
    """Read the file.

    Raises:
        ScoreError: it is missing, damaged, or its columns are not these.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise ScoreError(f"label predictions {path} cannot be read: {cause}") from cause
    header = rows[0] if rows else []
    labels = tuple(name for name in header[2:] if not name.startswith(_TRUE))
    true_columns = [_TRUE + name for name in labels]
    if tuple(header[:2]) != _IDS or header[2:] not in ([*labels], [*labels, *true_columns]):
        raise ScoreError(
            f"{path} does not have the columns {', '.join(_IDS)}, labels, and {_TRUE}LABEL for "
            f"all of them or for none; it has {', '.join(header[:8])[:200] or 'none'}"
        )
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise ScoreError(
                f"{path} line {number}: {len(row)} cells under {len(header)} columns; the file is "
                "damaged or was cut off"
            )
    cells = [row[2:] for row in rows[1:]]
    values = np.array(
        [[_probability(path, text) for text in row[: len(labels)]] for row in cells]
    ).reshape(len(cells), len(labels))
    truth = None
    if len(header) > 2 + len(labels):
        truth = np.array(
            [[_truth(path, text) for text in row[len(labels) :]] for row in cells]
        ).reshape(values.shape)
    ids, patients = (tuple(row[column] for row in rows[1:]) for column in (0, 1))
    return LabelPredictions(ids, patients, labels, values, truth)


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def _number(value: float) -> str:
    return "" if np.isnan(value) else repr(float(value))


def _probability(path: Path | str, text: str) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError as cause:
        raise ScoreError(f"{path}: {text!r} is no probability") from cause


def _truth(path: Path | str, text: str) -> float:
    if text not in _TRUTHS:
        raise ScoreError(f"{path}: {text!r} in a {_TRUE} column; expected 0, 1 or nothing")
    return _TRUTHS[text]
