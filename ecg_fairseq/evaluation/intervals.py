"""Bootstrap intervals by patient.

Questions on one patient are not independent, so patients are drawn with replacement, not questions.
A question on several patients (ECG-QA's comparisons) gets the product of their draws as its weight:
the pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics), which equals the plain cluster
bootstrap for questions on one patient.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

DEFAULT_RESAMPLES = 2000
LEVEL = 0.95
_DRAWS_PER_BLOCK = 4_000_000
_NOTHING = float("nan"), float("nan")


@dataclass(frozen=True)
class PatientGroups:
    """Questions grouped by the patients that they are about.

    Attributes:
        members: int64 (G, M), numbers of each group's patients, filled up with ``num_patients``.
        rows: int64 (N,), group of each question.
        num_patients: P.
    """

    members: np.ndarray
    rows: np.ndarray
    num_patients: int

    @classmethod
    def of(cls, patient_ids: Sequence[Sequence[str]]) -> "PatientGroups":
        """Group questions; their order of naming patients, and repetitions, are no matter.

        Raises:
            ValueError: a question has no patient.
        """
        sets = [tuple(sorted(set(names))) for names in patient_ids]
        if not all(sets):
            raise ValueError("every question needs at least one patient id")
        groups = {group: number for number, group in enumerate(sorted(set(sets)))}
        names = sorted({name for group in groups for name in group})
        numbers = {name: number for number, name in enumerate(names)}
        width = max((len(group) for group in groups), default=1)
        members = np.full((len(groups), width), len(names), dtype=np.int64)
        for group, row in groups.items():
            members[row, : len(group)] = [numbers[name] for name in group]
        rows = np.array([groups[group] for group in sets], dtype=np.int64)
        return cls(members, rows, len(names))

    @property
    def has_spread(self) -> bool:
        """Whether there are two groups or more: of one alone the spread is unknown, not zero."""
        return len(self.members) > 1

    def weights(self, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
        """Yield how often each group counts in each draw of the patients, float64 (W, G) a block.

        The same seed gives the same draws, however they are divided into blocks.
        """
        generator = np.random.default_rng(seed)
        block = max(1, _DRAWS_PER_BLOCK // max(self.members.size, self.num_patients))
        for start in range(0, num_resamples, block):
            rows = min(block, num_resamples - start)
            drawn = generator.integers(0, self.num_patients, size=(rows, self.num_patients))
            drawn += np.arange(rows)[:, None] * self.num_patients
            counts = np.bincount(drawn.ravel(), minlength=rows * self.num_patients)
            padded = np.ones((rows, self.num_patients + 1))
            padded[:, : self.num_patients] = counts.reshape(rows, self.num_patients)
            yield padded[:, self.members].prod(axis=2)


def bootstrap_interval(
    values: np.ndarray,
    patient_ids: Sequence[Sequence[str]],
    *,
    num_resamples: int = DEFAULT_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile interval of the mean of ``values`` over resampled patients.

    Args:
        values: (N,) one number per question; questions with NaN are left out.
        patient_ids: the patients of each question, N lists.
        num_resamples: how many times the patients are drawn.
        level: coverage, 0.95 for a 95 % interval.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        (low, high); both NaN when no question is left, or when all are about the same patients: the
        spread between patients is then unknown, not zero.

    Raises:
        ValueError: lengths differ, or a question has no patient.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) != len(patient_ids):
        raise ValueError(f"{values.shape} values do not fit {len(patient_ids)} lists of patients")
    kept = np.flatnonzero(~np.isnan(values)).tolist()
    groups = PatientGroups.of([patient_ids[i] for i in kept])
    if not groups.has_spread:
        return _NOTHING
    sums = np.bincount(groups.rows, weights=values[kept])
    sizes = np.bincount(groups.rows).astype(np.float64)
    means = [
        share_of(weights @ sums, weights @ sizes) for weights in groups.weights(num_resamples, seed)
    ]
    return percentiles(np.concatenate(means), level)


def share_of(sums: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return sums (W,) over totals; NaN for a draw that holds no question at all."""
    return np.divide(sums, totals, out=np.full(len(sums), np.nan), where=totals > 0)


def percentiles(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the ends of the middle ``level`` of the draws, without NaN."""
    if np.isnan(draws).all():
        return _NOTHING
    tail = (1.0 - level) / 2.0
    low, high = np.nanquantile(draws, [tail, 1.0 - tail])
    return float(low), float(high)
