"""Intervals of the AUROCs of a table: each label, macro and micro, of a system or of a difference.

Macro is a mean of AUROCs of the same patients, so its variance is that of the patients' mean
influence on the labels: none is lost because it is rare, as in draws of patients that happen to
lack it. A label with one positive (or one negative) patient has no interval of its own; in macro
it counts with the spread of the model of :mod:`ecg_fairseq.evaluation.labels.clustered_delong`, in
the macro of a difference with what is seen of the patients of the other value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.evaluation.labels.auroc_bootstrap import LabelProblem
from ecg_fairseq.evaluation.labels.clustered_delong import (
    AurocVariance,
    Influences,
    Interval,
    PatientCounts,
    auroc_interval,
    difference_interval,
    model_variance,
    student,
    tested_interval,
    welch,
)

FEW_PATIENTS = 10  # of either value: below, an interval is not known to hold its level
FEWEST_PATIENTS = 2
_NONE = np.nan, np.nan


@dataclass(frozen=True)
class LabelInfluences:
    """Influences of patients on a system's AUROCs, mean over its runs.

    Attributes:
        labels: on each label's AUROC.
        macro: on the mean over labels; each label's are scaled as their squares are in a variance.
        micro: on the AUROC of all pairs of recording and label.
        shares: float64 (K,), of each label in macro; 0 for a label that no run has an AUROC of.
        counts: patients of each label.
        micro_counts: patients of all pairs.
    """

    labels: tuple[Influences, ...]
    macro: Influences
    micro: Influences
    shares: np.ndarray
    counts: tuple[PatientCounts, ...]
    micro_counts: PatientCounts

    @classmethod
    def of(cls, problem: LabelProblem) -> "LabelInfluences":
        """Return those of a system."""
        size, num_labels = problem.num_patients, problem.labels.shape[1]
        *counts, _, pairs = label_counts(problem)
        has_auroc = problem.is_scored & [one.fewest > 0 for one in counts]
        weights = _shares(has_auroc)
        times = np.maximum(has_auroc.sum(axis=0), 1)
        labels = [Influences.zeros(size) for _ in range(num_labels)]
        macro, micro = Influences.zeros(size), Influences.zeros(size)
        for run, (each, of_pairs) in enumerate(problem.rankings):
            for k in np.flatnonzero(has_auroc[run]):
                own = Influences.of(each[k], problem.patients[each[k].rows], size)
                labels[k] = labels[k].plus(own, (1.0 / times[k], 1.0 / times[k]))
                weight, (first, second) = weights[run, k], counts[k].factors
                macro = macro.plus(own, (weight * first**0.5, weight * second**0.5))
            owners = problem.patients[of_pairs.rows // num_labels]
            own = Influences.of(of_pairs, owners, size)
            micro = micro.plus(own, (1.0 / len(has_auroc), 1.0 / len(has_auroc)))
        shares = weights.sum(axis=0)
        return cls(tuple(labels), macro, micro, shares, tuple(counts), pairs)

    def minus(self, other: "LabelInfluences") -> "LabelInfluences":
        """Return the influences on the differences to a system of the same labels."""
        less = (-1.0, -1.0)
        pairs = zip(self.labels, other.labels, strict=True)
        return LabelInfluences(
            tuple(first.plus(second, less) for first, second in pairs),
            self.macro.plus(other.macro, less),
            self.micro.plus(other.micro, less),
            self.shares,
            self.counts,
            self.micro_counts,
        )


def auroc_intervals(
    influences: LabelInfluences, values: np.ndarray, level: float, is_difference: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of each label, of macro and of micro, float64 (K + 2,) both.

    NaN where there is no AUROC, or fewer than two patients of either value.

    Args:
        influences: of patients.
        values: float64 (K + 2,), AUROCs or differences of two.
        level: coverage, 0.95 for 95 % intervals.
        is_difference: whether they are differences.
    """
    variances = [
        AurocVariance.of(one, counts)
        for one, counts in zip(influences.labels, influences.counts, strict=True)
    ]
    micro = AurocVariance.of(influences.micro, influences.micro_counts)
    interval_of = difference_interval if is_difference else auroc_interval
    rows = [
        interval_of(float(value), one, level) if _has_interval(value, one.counts) else _NONE
        for value, one in zip((*values[:-2], values[-1]), (*variances, micro), strict=True)
    ]
    macro = _NONE
    if not np.isnan(rows[:-1]).all():
        macro = _macro_interval(influences, variances, values, level, is_difference)
    low, high = np.array([*rows[:-1], macro, rows[-1]]).T
    return low, high


def label_counts(problem: LabelProblem) -> tuple[PatientCounts, ...]:
    """Return the patients of each label, then those of all pairs twice, for macro and micro."""
    each = [PatientCounts.of(column, problem.patients) for column in problem.labels.T]
    owners = np.repeat(problem.patients, problem.labels.shape[1])
    pairs = PatientCounts.of(problem.labels.ravel(), owners)
    return (*each, pairs, pairs)


def _shares(has_auroc: np.ndarray) -> np.ndarray:
    """Return with which weight each run's labels enter macro: the mean of means, float64 (S, K)."""
    each = has_auroc / np.maximum(has_auroc.sum(axis=1, keepdims=True), 1)
    return each / max(int(has_auroc.any(axis=1).sum()), 1)


def _has_interval(value: float, counts: PatientCounts) -> bool:
    return not np.isnan(value) and counts.fewest >= FEWEST_PATIENTS


def _macro_interval(
    influences: LabelInfluences,
    variances: Sequence[AurocVariance],
    values: np.ndarray,
    level: float,
    is_difference: bool,
) -> Interval:
    """Return the interval of the mean over labels."""
    total = float(((influences.macro.positives + influences.macro.negatives) ** 2).sum())
    used = np.flatnonzero(influences.shares).tolist()
    squares = influences.shares[used] ** 2
    own = np.array([variances[k].total for k in used])
    if is_difference:
        quantile = student(level, welch(squares * own, [variances[k].freedom for k in used]))
        half = quantile * total**0.5
        return max(values[-2] - half, -1.0), min(values[-2] + half, 1.0)
    found = np.array([variances[k].counts.within(values[k]) for k in used])
    parts = np.array(
        [variances[k].with_model(values[k])(auroc) for k, auroc in zip(used, found, strict=True)]
    )
    total += float((squares * np.maximum(parts - own, 0.0)).sum())
    freedoms = [variances[k].freedom_with_model(values[k]) for k in used]
    quantile = student(level, welch(squares * parts, freedoms))
    model = model_variance(float((influences.shares[used] * found).sum()))
    return tested_interval(
        float(values[-2]), lambda tested: total * model_variance(tested) / model, quantile
    )
