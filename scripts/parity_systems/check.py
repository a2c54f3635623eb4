"""One comparison of a tensor of ours with a reference's, and the difference that it states."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Check:
    """The result of comparing one tensor.

    Attributes:
        name: the tensor, with its case (``preprocess_case_1/denoised``); without spaces.
        max_abs_err: largest absolute difference, in the tensor's unit; for ids and strings the
            number of differing places. A wrong shape is infinity.
        tolerance: the largest difference that still counts as equal.
    """

    name: str
    max_abs_err: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the difference is within the tolerance (a NaN never is)."""
        return self.max_abs_err <= self.tolerance

    def line(self) -> str:
        """Return the line that ``scripts/parity.py`` prints."""
        verdict = "ok" if self.ok else "... FAIL"
        return f"{self.name} {self.max_abs_err:.6g} {self.tolerance:.6g} {verdict}"


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest absolute difference; infinity when the shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max(initial=0.0))
