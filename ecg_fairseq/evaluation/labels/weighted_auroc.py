"""Areas under curves of one ranking under many weightings of its rows, at once.

A bootstrap draw only changes how often each row counts, not the order of the scores: rows are
sorted once, and the curves of all draws are cumulated together.
"""

from dataclasses import dataclass

import numpy as np


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

    def auroc_auprc(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return AUROC and average precision of each weighting.

        Args:
            weights: (M, W), how much each row, in the order of ``rows``, counts; 0 or more.

        Returns:
            AUROC (W,) as the share of (1, 0) pairs in the right order with ties half, and average
            precision (W,); NaN where one of the two values has no weight.
        """
        if not len(self.rows):
            nothing = np.full(weights.shape[1], np.nan)
            return nothing, nothing.copy()
        of_positives = weights * self.is_positive[:, None]
        true = np.cumsum(of_positives, axis=0)[self.ends]
        false = np.cumsum(weights - of_positives, axis=0)[self.ends]
        new_true = np.diff(true, axis=0, prepend=0.0)
        new_false = np.diff(false, axis=0, prepend=0.0)
        positives, negatives = true[-1], false[-1]
        has_both = (positives > 0) & (negatives > 0)
        pairs = np.where(has_both, positives * negatives, np.nan)
        # A group of equal scores: pairs with higher positives are right, those within it half.
        auroc = (new_false * (true - 0.5 * new_true)).sum(axis=0) / pairs
        counted = true + false
        precision = np.divide(true, counted, out=np.zeros_like(true), where=counted > 0)
        auprc = (new_true * precision).sum(axis=0) / np.where(has_both, positives, np.nan)
        return auroc, auprc

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
