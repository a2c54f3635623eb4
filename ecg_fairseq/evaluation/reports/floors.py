"""What a report can score without looking at the ECG, or by looking something up.

Three floors, each one text for every scored report:

- ``majority``: the most frequent report of the training split; ties go to the first in the
  alphabet. Where no training reports are known, the most frequent of the scored references.
- ``other_patient``: the reference of another patient of the scored split, chosen by a hash.
- ``nearest``: the training report of the recording whose embedding is nearest, by cosine; of
  another patient. No text of the scored split is used.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import ScoreError

_ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class KnownReport:
    """A report of the training split: whose, of which recording, and its text."""

    record_id: str
    patient_id: str
    text: str


def majority_report(texts: Sequence[str]) -> str:
    """Return the most frequent text; the first in the alphabet wins a tie.

    Raises:
        ScoreError: no text was given.
    """
    if not texts:
        raise ScoreError("no report was given; at least one is needed for the majority report")
    counts = Counter(" ".join(text.split()) for text in texts)
    return min(counts, key=lambda text: (-counts[text], text))


def other_patient_reports(
    ids: Sequence[str], patient_ids: Sequence[Sequence[str]], references: Sequence[str], seed: int
) -> list[str] | None:
    """Return for each report the reference of another patient; None where there is no other.

    Args:
        ids: of the scored questions; with the seed they decide who the other one is.
        patient_ids: the patients of each.
        references: their reports.
    """
    order = sorted(range(len(ids)), key=lambda place: _hash(seed, "place", ids[place]))
    chosen = []
    for place, name in enumerate(ids):
        start = _hash(seed, "start", name) % len(order)
        own = set(patient_ids[place])
        turned = (order[(start + step) % len(order)] for step in range(len(order)))
        other = next((row for row in turned if own.isdisjoint(patient_ids[row])), None)
        if other is None:
            return None
        chosen.append(references[other])
    return chosen


def _hash(seed: int, *words: str) -> int:
    text = "\0".join((str(seed), *words))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")


def nearest_reports(
    queries: np.ndarray,
    query_patients: Sequence[Sequence[str]],
    keys: np.ndarray,
    known: Sequence[KnownReport],
) -> list[str]:
    """Return for each query the report of the nearest recording of another patient.

    Args:
        queries: (N, D) embeddings of the scored recordings.
        query_patients: the patients of each.
        keys: (M, D) embeddings of the training recordings.
        known: their M reports.

    Raises:
        ScoreError: shapes do not fit, a value is not finite, or a query's patient owns every key.
    """
    _check_embeddings(queries, len(query_patients), "scored")
    _check_embeddings(keys, len(known), "training")
    if queries.shape[1] != keys.shape[1]:
        raise ScoreError(
            f"embeddings of width {queries.shape[1]} (scored) and {keys.shape[1]} (training) "
            "cannot be compared; make both with the same checkpoint"
        )
    owners = np.array([report.patient_id for report in known], dtype=object)
    units = _units(keys)
    texts: list[str] = []
    for start in range(0, len(queries), _ROWS_AT_ONCE):
        similar = _units(queries[start : start + _ROWS_AT_ONCE]) @ units.T
        for row, scores in enumerate(similar):
            patients = query_patients[start + row]
            scores[np.isin(owners, list(patients))] = -np.inf
            best = int(scores.argmax())
            if np.isneginf(scores[best]):
                raise ScoreError(
                    f"every training report is of patient {patients[0]!r}, who is scored; the "
                    "nearest report must be another patient's"
                )
            texts.append(known[best].text)
    return texts


def _check_embeddings(values: np.ndarray, count: int, which: str) -> None:
    if values.ndim != 2 or len(values) != count or not count:
        raise ScoreError(
            f"{which} embeddings have shape {values.shape}; expected ({count}, width), one row for "
            "each of at least one recording"
        )
    if not np.isfinite(values).all():
        raise ScoreError(f"{which} embeddings hold values that are not finite; make them anew")


def _units(values: np.ndarray) -> np.ndarray:
    """Return float64 rows of length 1; a row of zeros stays as it is."""
    values = np.asarray(values, dtype=np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-300)
