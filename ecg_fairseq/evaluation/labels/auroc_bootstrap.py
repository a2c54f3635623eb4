"""Areas under curves of labels over many draws of the patients, and intervals from them.

Every patient counts in every draw, with an exponential weight (the Bayesian bootstrap, Rubin 1981,
Annals of Statistics 9): where patients are drawn whole or not at all, a draw may lack a rare label,
and macro is then a mean over other labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.labels.weighted_auroc import PatientRanking, Ranking

_CELLS_PER_BLOCK = 4_000_000
_FEWEST_DRAWS = 8  # in a block, however large the table
AUROC, AUPRC = 0, 1


@dataclass(frozen=True)
class LabelProblem:
    """Recordings with labels and the scores of one or several runs of a system.

    Attributes:
        scores: float64 (S, R, K), of S runs; a column of NaN where a run has no score for a label.
        labels: float64 (R, K) of 0, 1 and NaN.
        patients: int64 (R,), number of each recording's patient, 0 to P - 1.
    """

    scores: np.ndarray
    labels: np.ndarray
    patients: np.ndarray

    def __post_init__(self) -> None:
        if self.scores.ndim != 3 or self.scores.shape[1:] != self.labels.shape:
            raise ScoreError(
                f"scores {self.scores.shape[-2:]} and labels {self.labels.shape} must both be "
                "(recordings, labels)"
            )
        if not self.labels.size:
            raise ScoreError("nothing to score: there is no recording, or no label")
        wrong = ~np.isfinite(self.scores) & ~np.isnan(self.scores).all(axis=1, keepdims=True)
        if wrong.any():
            raise ScoreError(
                f"{int(wrong.sum())} scores are not finite: the model diverged, or a signal has "
                "NaN; only a label that a run does not score at all may be NaN, in every row"
            )

    @property
    def num_patients(self) -> int:
        """P."""
        return int(self.patients.max()) + 1

    @property
    def is_scored(self) -> np.ndarray:
        """Which runs score which labels, bool (S, K)."""
        return ~np.isnan(self.scores).all(axis=1)

    @cached_property
    def rankings(self) -> list[tuple[list[Ranking], Ranking]]:
        """For each run: the ranking of each label, and of all pairs of recording and label."""
        found = []
        for scores, is_scored in zip(self.scores, self.is_scored, strict=True):
            labels = np.where(is_scored, self.labels, np.nan)
            each = [Ranking.of(labels[:, k], scores[:, k]) for k in range(labels.shape[1])]
            found.append((each, Ranking.of(labels.ravel(), scores.ravel())))
        return found

    @cached_property
    def _by_patient(self) -> list[list[PatientRanking]]:
        """For each run: the rankings of each label, then of all pairs, by patient."""
        num_labels = self.labels.shape[1]
        found = []
        for each, micro in self.rankings:
            owners = [(one, self.patients[one.rows]) for one in each]
            owners.append((micro, self.patients[micro.rows // num_labels]))
            found.append([one.by_patient(own, self.num_patients) for one, own in owners])
        return found

    def auroc_auprc(self, weights: np.ndarray) -> np.ndarray:
        """Return AUROC and AUPRC when patients count as much as ``weights`` says.

        Args:
            weights: (P, W).

        Returns:
            (S, K + 2, 2, W): of each label, then macro (mean over labels that have both) and
            micro (all pairs of recording and label in one list); on the third axis AUROC, AUPRC.
        """
        num_runs, _, num_labels = self.scores.shape
        found = np.full((num_runs, num_labels + 2, 2, weights.shape[1]), np.nan)
        for run, (*each, micro) in enumerate(self._by_patient):
            for k, ranking in enumerate(each):
                found[run, k] = ranking.auroc_auprc(weights)
            found[run, num_labels] = mean_of_known(found[run, :num_labels])
            found[run, num_labels + 1] = micro.auroc_auprc(weights)
        return found

    def resampled(self, num_resamples: int, seed: int) -> np.ndarray:
        """Return AUROC and AUPRC over draws of the patients, mean over runs: (K + 2, 2, draws).

        The same seed gives the same draws to every system with the same patients.
        """
        block = max(_CELLS_PER_BLOCK // self.labels.size, _FEWEST_DRAWS)
        blocks = draw_patients(self.num_patients, num_resamples, seed, block)
        return np.concatenate([mean_of_known(self.auroc_auprc(block)) for block in blocks], axis=-1)


def draw_patients(
    num_patients: int, num_resamples: int, seed: int, block: int
) -> Iterator[np.ndarray]:
    """Yield how much each patient counts, (P, W) with W up to ``block``, until all draws."""
    generator = np.random.default_rng(seed)
    done = 0
    while done < num_resamples:
        width = min(max(block, 1), num_resamples - done)
        yield np.ascontiguousarray(generator.standard_exponential((width, num_patients)).T)
        done += width


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis without NaN; NaN where there is nothing else."""
    is_known = ~np.isnan(values)
    counts = is_known.sum(axis=0)
    sums = np.where(is_known, values, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def percentile_interval(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of the interval over the last axis, without NaN; NaN where all are."""
    tail = (1.0 - level) / 2.0
    shape = draws.shape[:-1]
    bounds = np.full((2, int(np.prod(shape))), np.nan)
    for number, row in enumerate(draws.reshape(-1, draws.shape[-1])):
        known = row[~np.isnan(row)]
        if len(known):
            bounds[:, number] = np.quantile(known, [tail, 1.0 - tail])
    return bounds[0].reshape(shape), bounds[1].reshape(shape)


def drawn_interval(
    value: float, draws: np.ndarray, num_positive: int, level: float
) -> tuple[float, float]:
    """Return the interval of an AUPRC by the deviation of its draws, on the logit scale.

    Percentiles of draws are too close together where few patients are positive.

    Args:
        value: found.
        draws: of it; without NaN.
        num_positive: patients, from whom Student's degrees of freedom are.
        level: coverage.
    """
    margin = 0.5 / max(num_positive, 1)
    center = min(max(value, margin), 1.0 - margin)
    half = _half_width(draws, num_positive, level) / (center * (1.0 - center))
    low, high = expit(logit(center) - half), expit(logit(center) + half)
    return min(float(low), value), max(float(high), value)


def drawn_difference_interval(
    value: float, draws: np.ndarray, num_positive: int, level: float
) -> tuple[float, float]:
    """Return the interval of a difference of two AUPRCs; arguments as :func:`drawn_interval`."""
    half = _half_width(draws, num_positive, level)
    return max(value - half, -1.0), min(value + half, 1.0)


def _half_width(draws: np.ndarray, num_positive: int, level: float) -> float:
    quantile = stats.t.ppf(0.5 + 0.5 * level, max(num_positive - 1, 1))
    return float(quantile * np.std(draws, ddof=1)) if len(draws) > 1 else np.nan


def numbers_of(names: Sequence[str]) -> np.ndarray:
    """Return the number of each name in the sorted list of distinct names, int64."""
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1].astype(np.int64)
