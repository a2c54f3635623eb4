"""From rows of segments to rows of recordings: what is scored is a recording, once.

ECG-FM's quickstart takes the mean over a recording's segments for most labels, and the maximum for
findings that may show in one segment alone (fact sheet ecg-fm.md, end of 1.5).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import ScoreError

# Labels of ECG-FM's MIMIC benchmark whose quickstart takes the maximum over segments.
PUBLISHED_MAX_LABELS = (
    "Poor data quality",
    "Premature ventricular contraction",
    "Ventricular tachycardia",
    "Supraventricular tachycardia with aberrancy",
    "Electronic pacemaker",
)


@dataclass(frozen=True)
class Recordings:
    """Which recording each of N rows is of.

    Attributes:
        ids: of the recordings, in order of their first row.
        patient_ids: of each recording.
        numbers: int64 (N,), position in ``ids`` of each row's recording.
    """

    ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    numbers: np.ndarray

    @classmethod
    def of(cls, recording_ids: Sequence[str], patient_ids: Sequence[str]) -> "Recordings":
        """Group rows by recording.

        Args:
            recording_ids: N, of each row; equal ones are segments of one recording.
            patient_ids: N, of each row.

        Raises:
            ScoreError: lengths differ, or a recording is of two patients.
        """
        if len(recording_ids) != len(patient_ids):
            raise ScoreError(
                f"{len(recording_ids)} recording ids and {len(patient_ids)} patient ids; every "
                "row needs one of each"
            )
        patient_of: dict[str, str] = {}
        for recording, patient in zip(recording_ids, patient_ids, strict=True):
            if patient_of.setdefault(str(recording), str(patient)) != str(patient):
                raise ScoreError(
                    f"recording {recording} is said to be of the patients "
                    f"{patient_of[str(recording)]} and {patient}; recording ids must be unique "
                    "over the whole data set"
                )
        place = {name: number for number, name in enumerate(patient_of)}
        numbers = np.array([place[str(name)] for name in recording_ids], dtype=np.int64)
        return cls(tuple(patient_of), tuple(patient_of.values()), numbers)

    def __len__(self) -> int:
        return len(self.ids)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return the mean over each recording's rows: float64 (..., R, K) of (..., N, K)."""
        sums = np.zeros((*values.shape[:-2], len(self), values.shape[-1]))
        np.add.at(np.moveaxis(sums, -2, 0), self.numbers, np.moveaxis(values, -2, 0))
        counts = np.bincount(self.numbers, minlength=len(self)).astype(np.float64)
        return sums / counts[:, None]

    def maximum(self, values: np.ndarray) -> np.ndarray:
        """Return the maximum over each recording's rows: float64 (..., R, K) of (..., N, K)."""
        highest = np.full((*values.shape[:-2], len(self), values.shape[-1]), -np.inf)
        np.maximum.at(np.moveaxis(highest, -2, 0), self.numbers, np.moveaxis(values, -2, 0))
        return highest

    def scores(
        self,
        scores: np.ndarray,
        label_names: Sequence[str] = (),
        max_labels: Collection[str] = (),
    ) -> np.ndarray:
        """Return scores of recordings: the mean, or the maximum for some labels.

        Args:
            scores: (..., N, K) logits.
            label_names: K names; only needed with ``max_labels``.
            max_labels: names of labels that take the maximum; names of other data sets' labels are
                ignored, so ``PUBLISHED_MAX_LABELS`` fits everywhere.

        Returns:
            float64 (..., R, K).
        """
        scores = np.asarray(scores, dtype=np.float64)
        found = self.mean(scores)
        columns = [k for k, name in enumerate(label_names) if name in max_labels]
        if columns:
            found[..., columns] = self.maximum(scores[..., columns])
        return found

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """Return labels of recordings, float64 (R, K); NaN where nobody labelled.

        Args:
            labels: (N, K) of 0, 1 and NaN, equal for all rows of a recording.

        Raises:
            ScoreError: other values, or rows of a recording differ.
        """
        labels = np.asarray(labels, dtype=np.float64)
        if labels.ndim != 2 or len(labels) != len(self.numbers):
            raise ScoreError(f"labels {labels.shape} do not fit {len(self.numbers)} rows")
        wrong = ~(np.isnan(labels) | (labels == 0) | (labels == 1))
        if wrong.any():
            raise ScoreError(f"label {labels[wrong][0]} is none of 0, 1 and NaN (not labelled)")
        found = np.empty((len(self), labels.shape[1]))
        found[self.numbers] = labels
        differ = (found[self.numbers] != labels) & ~(
            np.isnan(found[self.numbers]) & np.isnan(labels)
        )
        if differ.any():
            row = int(differ.any(axis=1).argmax())
            raise ScoreError(
                f"segments of recording {self.ids[self.numbers[row]]} have different labels; "
                "labels are of recordings here"
            )
        return found
