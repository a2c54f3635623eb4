"""Resampling by cubic spline on the grid that ECG-Byte uses, with the spline's factors cached.

Interpolating is linear in the samples: for one input and output length the banded system of the
not-a-knot cubic spline is factorised once, and a sparse matrix evaluates the spline.
"""

from functools import lru_cache

import numpy as np
from scipy.interpolate import BSpline
from scipy.linalg import lapack

from ecg_fairseq.errors import RecordError

_BANDS = 3  # a cubic spline's collocation matrix at its own knots has at most 3 bands a side


@lru_cache(maxsize=8)
def _spline_factors(num_input: int, num_output: int) -> tuple[np.ndarray, np.ndarray, object]:
    """Return the LU factors, their pivots and the evaluation matrix (num_output, num_input)."""
    grid = np.arange(num_input, dtype=np.float64)
    knots = np.concatenate((grid[:1].repeat(4), grid[2:-2], grid[-1:].repeat(4)))
    matrix = BSpline.design_matrix(grid, knots, 3).tocoo()
    banded = np.zeros((3 * _BANDS + 1, num_input))
    banded[2 * _BANDS + matrix.row - matrix.col, matrix.col] = matrix.data
    factors, pivots, info = lapack.dgbtrf(banded, _BANDS, _BANDS)
    if info != 0:
        raise RecordError(f"no cubic spline exists through {num_input} samples")
    wanted = np.linspace(0, num_input - 1, num_output)
    return factors, pivots, BSpline.design_matrix(wanted, knots, 3)


def resample_cubic(signal: np.ndarray, num_output: int) -> np.ndarray:
    """Interpolate every lead at ``num_output`` points from its first to its last sample.

    Both ends are grid points, so output j stands at input position j (N - 1) / (M - 1): this is
    ECG-Byte's grid (fact sheet ecg-byte 1.2, step 6), equal to
    ``interp1d(kind="cubic")`` between two ``linspace`` up to rounding. It has no anti-alias filter:
    band-limit before.

    Args:
        signal: float64 (L, T).
        num_output: samples wanted, at least 2.

    Returns:
        float64 (L, num_output).

    Raises:
        RecordError: fewer than 4 input samples.
    """
    num_input = signal.shape[-1]
    if num_input < 4 or num_output < 2:
        raise RecordError(
            f"{num_input} samples cannot be resampled to {num_output}; at least 4 and 2 are needed"
        )
    factors, pivots, evaluate = _spline_factors(num_input, num_output)
    right = np.asfortranarray(signal.T, dtype=np.float64)
    coefficients, _ = lapack.dgbtrs(factors, _BANDS, _BANDS, right, pivots)
    return np.ascontiguousarray((evaluate @ coefficients).T)
