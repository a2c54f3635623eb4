"""The largest difference of two arrays, for the parity modules."""

import numpy as np


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest absolute difference; infinity when the shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max(initial=0.0))
