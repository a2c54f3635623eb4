"""The score of the PhysioNet/CinC Challenge 2021: confusions weighted by how much they harm.

A recording adds ``weights[t, o] / |labels or outputs|`` for every true class t and predicted class
o; the sum is scaled so that the right labels score 1 and "sinus rhythm" for everybody scores 0.
Reyna et al., CinC 2021, doi 10.23919/CinC53138.2021.9662687; the table ``weights.csv`` is that of
physionetchallenges/evaluation-2021 and is not part of this package.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.records.labels.snomed_codes import SCORED_CLASSES
from ecg_fairseq.records.readers.csv_table import read_csv_lines

NORMAL_CODE = "426783006"  # sinus rhythm
_SAME = "|"
_CODE = re.compile(r"\d+", re.ASCII)
_SHOWN = 8


@dataclass(frozen=True)
class CincWeights:
    """The challenge's weights.

    Attributes:
        classes: C names as the file has them: SNOMED CT codes, ``713427006|59118001`` where several
            are scored as one.
        values: float64 (C, C); row the true class, column the predicted one.
        path: of the file, for messages.
    """

    classes: tuple[str, ...]
    values: np.ndarray
    path: str

    @property
    def normal(self) -> int:
        """Position of sinus rhythm."""
        return self._class_of()[NORMAL_CODE]

    def columns(self, label_names: Sequence[str]) -> np.ndarray:
        """Return the class that each label is of, int64 (K,).

        Labels may be codes, the challenge's abbreviations or its names, joined by ``|`` or not;
        several labels may be of one class.

        Raises:
            ScoreError: a label is of no class or of two, or a class has no label.
        """
        class_of = self._class_of()
        found, unknown = [], []
        for name in label_names:
            numbers = {class_of.get(_code_of(part)) for part in name.split(_SAME)}
            if len(numbers) == 1 and None not in numbers:
                found.append(numbers.pop())
            else:
                unknown.append(name)
        missing = [self.classes[k] for k in range(len(self.classes)) if k not in found]
        if unknown or missing:
            parts = [
                text
                for text, names in (
                    (f"labels that are no class of it: {_some(unknown)}", unknown),
                    (f"classes without a label: {_some(missing)}", missing),
                )
                if names
            ]
            raise ScoreError(
                f"the {len(label_names)} labels are not the {len(self.classes)} classes of "
                f"{self.path} ({'; '.join(parts)}); the score needs exactly these, as "
                "--label-set challenge_2021 makes them"
            )
        return np.array(found, dtype=np.int64)

    def file_order(self, num_labels: int) -> np.ndarray:
        """Return classes of labels without names: the file's own order, as upstream assumes.

        Raises:
            ScoreError: another number of labels.
        """
        if num_labels != len(self.classes):
            raise ScoreError(
                f"{num_labels} labels without names for the {len(self.classes)} classes of "
                f"{self.path}; put the label_def.csv that was written with y.npy beside it"
            )
        return np.arange(num_labels)

    def _class_of(self) -> dict[str, int]:
        return {
            code: number for number, name in enumerate(self.classes) for code in name.split(_SAME)
        }


def read_weights(path: Path | str) -> CincWeights:
    """Read ``weights.csv``: the first line and the first column name the classes.

    Raises:
        ScoreError: it is missing, not a square table of numbers, rows and columns are named
            differently, a code comes twice, or there is no sinus rhythm.
    """
    advice = "; give weights.csv of physionetchallenges/evaluation-2021"
    lines = read_csv_lines(path, "the challenge's weights", ScoreError, advice)
    rows = [[cell.strip() for cell in cells] for cells in lines]
    columns = rows[0][1:] if rows else []
    names = [row[0] for row in rows[1:]]
    if not columns or names != columns or any(len(row) != len(rows[0]) for row in rows):
        raise ScoreError(
            f"{path} is not a square table with one list of classes: it names {len(columns)} "
            f"columns and {len(names)} rows; give weights.csv of evaluation-2021"
        )
    codes = [code for name in columns for code in name.split(_SAME)]
    twice = sorted({code for code in codes if codes.count(code) > 1})
    wrong = [code for code in codes if not _CODE.fullmatch(code)]
    if wrong or twice or NORMAL_CODE not in codes:
        raise ScoreError(
            f"{path}: classes must be SNOMED CT codes, each once, with {NORMAL_CODE} (sinus "
            f"rhythm) among them; found no codes {_some(wrong)}, repeated {_some(twice)}"
        )
    return CincWeights(tuple(columns), _numbers(path, rows), str(path))


def score_sums(
    weights: np.ndarray, normal: int, labels: np.ndarray, outputs: np.ndarray
) -> tuple[float, float, float]:
    """Return the sums of recordings that the score is made of; they add up over batches.

    Args:
        weights: (C, C).
        normal: position of sinus rhythm.
        labels: bool (N, C).
        outputs: bool (N, C), predicted.

    Returns:
        Sums for the outputs, for the right labels, and for sinus rhythm alone.
    """
    inactive = np.zeros_like(labels)
    inactive[:, normal] = True
    observed, correct, idle = (
        float(_weighted(weights, labels, predicted)) for predicted in (outputs, labels, inactive)
    )
    return observed, correct, idle


def normalized_score(observed: float, correct: float, inactive: float) -> float:
    """Return the score from its sums; 0 when sinus rhythm alone is right for everybody."""
    return (observed - inactive) / (correct - inactive) if correct != inactive else 0.0


def merged_classes(values: np.ndarray, columns: np.ndarray, num_classes: int) -> np.ndarray:
    """Return bool (N, C): a class is true when any of its labels (bool (N, K)) is."""
    found = np.zeros((len(values), num_classes), dtype=bool)
    for label, column in enumerate(columns):
        found[:, column] |= values[:, label].astype(bool)
    return found


def cinc_score(
    weights: CincWeights, labels: np.ndarray, outputs: np.ndarray, label_names: Sequence[str]
) -> float:
    """Return the challenge's score.

    Args:
        weights: of :func:`read_weights`.
        labels: (N, K) of 0 and 1.
        outputs: (N, K) of 0 and 1, predicted.
        label_names: K, in any order.

    Raises:
        ScoreError: shapes differ, or the labels are not the challenge's classes.
    """
    if labels.shape != outputs.shape or labels.shape[1:] != (len(label_names),):
        raise ScoreError(
            f"labels {labels.shape} and outputs {outputs.shape} must be (N, {len(label_names)})"
        )
    columns, count = weights.columns(label_names), len(weights.classes)
    truth, predicted = (merged_classes(part, columns, count) for part in (labels, outputs))
    return normalized_score(*score_sums(weights.values, weights.normal, truth, predicted))


def _weighted(weights: np.ndarray, labels: np.ndarray, outputs: np.ndarray) -> float:
    each = ((labels @ weights) * outputs).sum(axis=1)
    return (each / np.maximum((labels | outputs).sum(axis=1), 1)).sum()


def _numbers(path: Path | str, rows: Sequence[Sequence[str]]) -> np.ndarray:
    try:
        values = np.array([[float(cell) for cell in row[1:]] for row in rows[1:]])
    except ValueError as cause:
        raise ScoreError(f"{path} holds a cell that is not a number: {cause}") from cause
    if not np.isfinite(values).all():
        raise ScoreError(f"{path} holds a weight that is not finite")
    return values


def _code_of(name: str) -> str:
    """Return the code of an abbreviation or name of a scored diagnosis; other texts as they are."""
    return _CODES.get(name.strip().lower(), name.strip())


def _some(names: Sequence[str]) -> str:
    if not names:
        return "none"
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


_CODES = {
    text.lower(): diagnosis.code
    for members in SCORED_CLASSES
    for diagnosis in members
    for text in (diagnosis.abbreviation, diagnosis.name)
}
