"""Bootstrap intervals by patient.

Questions on one patient are not independent, so patients are drawn with replacement, not questions.
A question on several patients (ECG-QA's comparisons) gets the product of their draws as its weight:
the pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics), which equals the plain cluster
bootstrap for questions on one patient.
"""

from collections.abc import Sequence

import numpy as np

DEFAULT_RESAMPLES = 2000
_DRAWS_PER_BLOCK = 4_000_000


def bootstrap_interval(
    values: np.ndarray,
    patient_ids: Sequence[Sequence[str]],
    *,
    num_resamples: int = DEFAULT_RESAMPLES,
    level: float = 0.95,
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
        (low, high); both NaN when no question is left. With a single patient low equals high: the
        spread between patients is then unknown, not zero.

    Raises:
        ValueError: lengths differ, or a question has no patient.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) != len(patient_ids):
        raise ValueError(f"{values.shape} values do not fit {len(patient_ids)} lists of patients")
    kept = np.flatnonzero(~np.isnan(values))
    if len(kept) == 0:
        return float("nan"), float("nan")
    members, sums, sizes, num_patients = _sum_by_patients(values, patient_ids, kept)
    means = _resampled_means(members, sums, sizes, num_patients, num_resamples, seed)
    tail = (1.0 - level) / 2.0
    low, high = np.nanquantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def _sum_by_patients(
    values: np.ndarray, patient_ids: Sequence[Sequence[str]], kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Group questions with the same patients.

    Returns:
        members (G, M) int64 patient numbers, padded with the last patient number + 1; sums (G,) and
        sizes (G,) of each group; the number of patients.
    """
    sets = [tuple(sorted(set(patient_ids[i]))) for i in kept]
    if not all(sets):
        raise ValueError("every question needs at least one patient id")
    groups = {group: number for number, group in enumerate(sorted(set(sets)))}
    names = sorted({name for group in groups for name in group})
    numbers = {name: number for number, name in enumerate(names)}
    width = max(len(group) for group in groups)
    members = np.full((len(groups), width), len(names), dtype=np.int64)
    for group, row in groups.items():
        members[row, : len(group)] = [numbers[name] for name in group]
    rows = np.array([groups[group] for group in sets])
    sums = np.bincount(rows, weights=values[kept], minlength=len(groups))
    sizes = np.bincount(rows, minlength=len(groups)).astype(np.float64)
    return members, sums, sizes, len(names)


def _resampled_means(
    members: np.ndarray,
    sums: np.ndarray,
    sizes: np.ndarray,
    num_patients: int,
    num_resamples: int,
    seed: int,
) -> np.ndarray:
    """Return (R,) means; NaN for a draw that holds no question at all."""
    generator = np.random.default_rng(seed)
    means = np.full(num_resamples, np.nan)
    block = max(1, _DRAWS_PER_BLOCK // max(members.size, num_patients))
    for start in range(0, num_resamples, block):
        rows = min(block, num_resamples - start)
        drawn = generator.integers(0, num_patients, size=(rows, num_patients))
        drawn += np.arange(rows)[:, None] * num_patients
        counts = np.bincount(drawn.ravel(), minlength=rows * num_patients)
        padded = np.ones((rows, num_patients + 1))
        padded[:, :num_patients] = counts.reshape(rows, num_patients)
        weights = padded[:, members].prod(axis=2)
        total = weights @ sizes
        drawn_any = total > 0
        means[start : start + rows][drawn_any] = (weights @ sums)[drawn_any] / total[drawn_any]
    return means
