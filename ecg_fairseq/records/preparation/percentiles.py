"""Percentiles over all training values, exact to 1 uV, in constant memory and any order.

Values are counted in bins of 1 uV between -32 and +32 mV, with one bin for everything beyond each
end; adding counts is commutative, so neither worker count nor shard order changes a result. The
published rule (at most 100,000 values, in practice four ECGs) is here as a named option.
"""

from collections.abc import Iterable

import numpy as np

from ecg_fairseq.errors import ManifestError

LIMIT_UV = 32_000
NUM_BINS = 2 * LIMIT_UV + 1 + 2
PERCENTILE_RULES = ("exact", "first-four-windows")
_PUBLISHED_QUOTA = 100_000


def count_values(values: np.ndarray) -> np.ndarray:
    """Return int64 counts (NUM_BINS,) of mV ``values`` rounded to 1 uV."""
    steps = np.rint(np.asarray(values, dtype=np.float64).ravel() * 1000.0)
    bins = np.clip(steps, -LIMIT_UV - 1, LIMIT_UV + 1).astype(np.int64) + LIMIT_UV + 1
    return np.bincount(bins, minlength=NUM_BINS)


def percentile(counts: np.ndarray, percent: float) -> float:
    """Return the smallest value (mV, whole uV) at or below which ``percent`` % of all values lie.

    Raises:
        ManifestError: nothing was counted.
    """
    total = int(counts.sum())
    if total == 0:
        raise ManifestError(
            "no values to take percentiles of: the training side has no usable record; "
            "check the split and skipped.tsv"
        )
    rank = max(1, int(np.ceil(total * percent / 100.0)))
    position = int(np.searchsorted(np.cumsum(counts), rank))
    return float(position - LIMIT_UV - 1) / 1000.0


def statistics_of(counts: np.ndarray) -> dict[str, float | int | str]:
    """Return the ``statistics`` object of ``meta.json`` for exact counts."""
    return {
        "rule": "exact",
        "percentile_1": percentile(counts, 1.0),
        "percentile_99": percentile(counts, 99.0),
        "num_values": int(counts.sum()),
    }


def no_statistics(rule: str) -> dict[str, float | int | str | None]:
    """Return the ``statistics`` object of a manifest without training records."""
    return {"rule": rule, "percentile_1": None, "percentile_99": None, "num_values": 0}


def published_statistics(windows: Iterable[np.ndarray], seed: int) -> dict[str, float | int | str]:
    """Return ECG-Byte's statistics: the first windows in order until 100,000 values are taken.

    The last window is sampled without replacement, here with a seed (fact sheet ecg-byte 1.5, D3).
    """
    generator = np.random.default_rng(seed)
    taken: list[np.ndarray] = []
    missing = _PUBLISHED_QUOTA
    for window in windows:
        values = generator.choice(window.ravel(), min(missing, window.size), replace=False)
        taken.append(values)
        missing -= len(values)
        if missing <= 0:
            break
    if not taken:
        raise ManifestError("no training window to take percentiles of; check the split")
    low, high = np.percentile(np.concatenate(taken).astype(np.float64), [1, 99])
    return {
        "rule": "first-four-windows",
        "percentile_1": float(low),
        "percentile_99": float(high),
        "num_values": int(sum(map(len, taken))),
    }
