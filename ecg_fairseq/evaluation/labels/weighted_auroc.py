"""Areas under curves of one ranking under many weightings of its patients, at once.

A bootstrap draw only changes how much each patient counts, not the order of the scores: rows are
sorted and counted by patient once, and the curves of all draws are cumulated together.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Ranking:
    """Rows in order of falling score.

    Attributes:
        rows: int64 (M,), rows in that order.
        is_positive: bool (M,), their labels.
        ends: int64 (G,), the last position of each group of equal scores.
    """

    rows: np.ndarray
    is_positive: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, scores: np.ndarray) -> "Ranking":
        """Sort rows.

        Args:
            labels: (N,) of 0, 1 and NaN; rows with NaN are left out.
            scores: (N,), higher for a likelier 1; finite.
        """
        rows = np.flatnonzero(~np.isnan(labels))
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        is_last = np.append(np.diff(scores[rows]) != 0, True)[: len(rows)]
        return cls(rows, labels[rows] > 0, np.flatnonzero(is_last))

    def by_patient(self, patients: np.ndarray, num_patients: int) -> "PatientRanking":
        """Return the same for weights of patients.

        Rows between two groups with positives make one group: their order changes no area.

        Args:
            patients: int (M,), number of each ranked row's patient, below ``num_patients``.
        """
        sizes = np.diff(self.ends, prepend=-1)
        of_row = np.repeat(np.arange(len(sizes)), sizes)
        has_positive = np.bincount(of_row, self.is_positive, len(sizes)) > 0
        is_new = has_positive | np.append(True, has_positive[:-1])[: len(sizes)]
        merged = (np.cumsum(is_new) - 1)[of_row]
        shape = int(is_new.sum()), num_patients
        counts = []
        for chosen in (self.is_positive, ~self.is_positive):
            places = merged[chosen], patients[chosen]
            counts.append(sparse.csr_matrix((np.ones(int(chosen.sum())), places), shape=shape))
        return PatientRanking(*counts)

    def placements(self) -> np.ndarray:
        """Return how each row stands among those of the other value, float64 (M,).

        Of a positive row the share of negative ones with a lower score, of a negative row the share
        of positive ones with a higher score; ties count half. Either mean is the AUROC. NaN where
        there is no row of the other value.
        """
        sizes = np.diff(self.ends, prepend=-1)
        is_positive = self.is_positive.astype(np.float64)
        found = []
        for others in (1.0 - is_positive, is_positive):
            cumulated = np.cumsum(others)[self.ends]
            above = cumulated - 0.5 * np.diff(cumulated, prepend=0.0)
            total = others.sum()
            share = above / total if total else np.full(len(above), np.nan)
            found.append(np.repeat(share, sizes))
        return np.where(self.is_positive, 1.0 - found[0], found[1])


@dataclass(frozen=True)
class PatientRanking:
    """How many rows each patient has in each group of equal rank, best first.

    Attributes:
        positives: sparse float64 (G, P), rows of which the label is true.
        negatives: sparse float64 (G, P), the others.
    """

    positives: sparse.csr_matrix
    negatives: sparse.csr_matrix

    def auroc_auprc(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return AUROC and average precision of each weighting.

        Args:
            weights: (P, W), how much each patient counts; 0 or more.

        Returns:
            AUROC (W,) as the share of (1, 0) pairs in the right order with ties half, and average
            precision (W,); NaN where one of the two values has no weight.
        """
        new_true, new_false = self.positives @ weights, self.negatives @ weights
        if not len(new_true):
            nothing = np.full(weights.shape[1], np.nan)
            return nothing, nothing.copy()
        true, false = np.cumsum(new_true, axis=0), np.cumsum(new_false, axis=0)
        positives, negatives = true[-1], false[-1]
        has_both = (positives > 0) & (negatives > 0)
        pairs = np.where(has_both, positives * negatives, np.nan)
        # A group of equal scores: pairs with higher positives are right, those within it half.
        auroc = (new_false * (true - 0.5 * new_true)).sum(axis=0) / pairs
        counted = true + false
        precision = np.divide(true, counted, out=np.zeros_like(true), where=counted > 0)
        auprc = (new_true * precision).sum(axis=0) / np.where(has_both, positives, np.nan)
        return auroc, auprc
