"""The variance of an AUROC by patient, without draws, and the interval that follows.

An AUROC is a mean of placements: for a positive row the share of negatives that score below it, for
a negative row the share of positives above it. Their spread over patients gives the AUROC's
variance (DeLong et al. 1988), also where patients have several rows of either value (Obuchowski
1997, Biometrics 53). Three things keep the interval honest at 10 positive patients
(``scripts/interval_coverage.py``):

- The variance is that of the AUROC under test, not of the one found (as in Wilson's interval of a
  share): it grows with the distance from 1 as between two normal distributions of equal width, so
  that bounds stay within 0 and 1, and the lower one is the further.
- The spread observed is averaged with that of those two distributions, which counts as much as
  ``_MODEL_PATIENTS`` patients: a few placements near 1 may seem to agree. Where every pair is in
  the right order, no spread is observed, and the distributions' counts alone.
- Quantiles are Student's, with Welch's degrees of freedom.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import ndtri, owens_t

from ecg_fairseq.evaluation.labels.weighted_auroc import Ranking

_MODEL_PATIENTS = 3.0
_EDGE = 1e-9
_BISECTIONS = 50
Interval = tuple[float, float]


@dataclass(frozen=True)
class PatientCounts:
    """How many patients have a positive row, a negative one, and any."""

    positive: int
    negative: int
    all: int

    @classmethod
    def of(cls, labels: np.ndarray, patients: np.ndarray) -> "PatientCounts":
        """Count patients of labels (N,) of 0, 1 and NaN."""
        kinds = (labels == 1, labels == 0, ~np.isnan(labels))
        return cls(*(int((np.bincount(patients[is_so]) > 0).sum()) for is_so in kinds))

    @property
    def fewest(self) -> int:
        """The smaller of positive and negative."""
        return min(self.positive, self.negative)

    @property
    def factors(self) -> tuple[float, float]:
        """By which sums of squares become unbiased: n / (n - 1) of each value, 1 of one patient."""
        return _unbiased(self.positive), _unbiased(self.negative)

    def within(self, auroc: float) -> float:
        """Return an AUROC half a pair of patients away from 0 and 1 at least."""
        margin = 0.5 / max(self.positive * self.negative, 1)
        return min(max(auroc, margin), 1.0 - margin)


def _unbiased(count: int) -> float:
    return count / (count - 1) if count > 1 else 1.0


@dataclass(frozen=True)
class Influences:
    """How far each patient's rows move an AUROC; both parts sum to 0.

    Attributes:
        positives: float64 (P,), by the patient's positive rows.
        negatives: float64 (P,), by the negative ones.
    """

    positives: np.ndarray
    negatives: np.ndarray

    @classmethod
    def of(cls, ranking: Ranking, patients: np.ndarray, num_patients: int) -> "Influences":
        """Return those of a ranking; zeros where it has one value only.

        Args:
            patients: int (M,), number of each ranked row's patient, below ``num_patients``.
        """
        placements, is_positive = ranking.placements(), ranking.is_positive
        found = []
        for chosen in (is_positive, ~is_positive):
            weights = np.zeros(len(placements))
            if 0 < chosen.sum() < len(chosen):
                weights[chosen] = (placements[chosen] - placements[chosen].mean()) / chosen.sum()
            found.append(np.bincount(patients, weights, num_patients))
        return cls(*found)

    @classmethod
    def zeros(cls, num_patients: int) -> "Influences":
        """Return no influence of anybody."""
        return cls(np.zeros(num_patients), np.zeros(num_patients))

    def plus(self, other: "Influences", factors: tuple[float, float] = (1.0, 1.0)) -> "Influences":
        """Return the sum with another's positives and negatives, each times a factor."""
        return Influences(
            self.positives + factors[0] * other.positives,
            self.negatives + factors[1] * other.negatives,
        )


@dataclass(frozen=True)
class AurocVariance:
    """Parts of the variance of an AUROC, or of a difference of two on the same rows.

    Attributes:
        positives: by the spread of positive placements over patients.
        negatives: by that of negative ones.
        correlation: of both parts within patients.
        counts: of patients.
    """

    positives: float
    negatives: float
    correlation: float
    counts: PatientCounts

    @classmethod
    def of(cls, influences: Influences, counts: PatientCounts) -> "AurocVariance":
        """Return Obuchowski's variance (1997, equations 4 to 7)."""
        sums = (influences.positives**2).sum(), (influences.negatives**2).sum()
        first, second = (
            float(factor * part) for factor, part in zip(counts.factors, sums, strict=True)
        )
        both = _unbiased(counts.all) * (influences.positives * influences.negatives).sum()
        scale = float(np.sqrt(first * second))
        return cls(first, second, float(both) / scale if scale > 0 else 0.0, counts)

    @property
    def total(self) -> float:
        """The variance; not below 0."""
        return _joined(self.positives, self.negatives, self.correlation)

    @property
    def freedom(self) -> float:
        """Welch's degrees of freedom; at least 1."""
        return welch((self.positives, self.negatives), self._freedoms(0.0))

    def with_model(self, auroc: float) -> Callable[[float], float]:
        """Return the variance by the AUROC under test, given the one found (see the module)."""
        found = self.counts.within(auroc)
        one = self._averaged(found)

        def variance(tested: float) -> float:
            ratio = model_variance(tested) / model_variance(found)
            return ratio * _joined(*one, self.correlation)

        return variance

    def freedom_with_model(self, auroc: float) -> float:
        """Return Welch's degrees of freedom of :meth:`with_model`."""
        parts = self._averaged(self.counts.within(auroc))
        return welch(parts, self._freedoms(_MODEL_PATIENTS))

    def _averaged(self, auroc: float) -> tuple[float, float]:
        """Return both parts, each averaged with the model's at the AUROC found."""
        model = model_variance(auroc)
        patients = self.counts.positive, self.counts.negative
        if self.positives == 0 and self.negatives == 0:
            return model / patients[0], model / patients[1]
        found = []
        for part, count in zip((self.positives, self.negatives), patients, strict=True):
            weighted = (count - 1) * part + _MODEL_PATIENTS * model / count
            found.append(weighted / (count - 1 + _MODEL_PATIENTS))
        return found[0], found[1]

    def _freedoms(self, more: float) -> tuple[float, float]:
        return self.counts.positive - 1 + more, self.counts.negative - 1 + more


def model_variance(auroc: float) -> float:
    """Return the variance of a placement between two normal distributions of equal width."""
    auroc = min(max(auroc, _EDGE), 1.0 - _EDGE)
    return max(float(auroc - auroc**2 - 2.0 * owens_t(ndtri(auroc), 3.0**-0.5)), _EDGE**2)


def auroc_interval(auroc: float, variance: AurocVariance, level: float) -> Interval:
    """Return the AUROCs that are not refuted by the one found."""
    quantile = student(level, variance.freedom_with_model(auroc))
    return tested_interval(auroc, variance.with_model(auroc), quantile)


def tested_interval(value: float, variance: Callable[[float], float], quantile: float) -> Interval:
    """Return the lowest and highest value whose distance is within ``quantile`` deviations.

    Args:
        value: found, 0 to 1.
        variance: of the value under test.
        quantile: of the deviation from it.
    """

    def last_inside(outside: float) -> float:
        inside = value
        for _ in range(_BISECTIONS):
            middle = 0.5 * (inside + outside)
            if abs(value - middle) <= quantile * np.sqrt(variance(middle)):
                inside = middle
            else:
                outside = middle
        return inside

    return last_inside(0.0), last_inside(1.0)


def difference_interval(difference: float, variance: AurocVariance, level: float) -> Interval:
    """Return the interval of a difference of two AUROCs."""
    half = student(level, variance.freedom) * np.sqrt(variance.total)
    return max(difference - half, -1.0), min(difference + half, 1.0)


def student(level: float, freedom: float) -> float:
    """Return Student's quantile of a two-sided interval."""
    return float(stats.t.ppf(0.5 + 0.5 * level, freedom))


def _joined(first: float, second: float, correlation: float) -> float:
    both = first + second + 2.0 * correlation * np.sqrt(first * second)
    return max(float(both), 0.0)


def welch(parts: Sequence[float], freedoms: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of variances with theirs; at least 1."""
    below = sum(part**2 / max(own, 1.0) for part, own in zip(parts, freedoms, strict=True))
    return max(sum(parts) ** 2 / below, 1.0) if below > 0 else max(*freedoms, 1.0)
