"""ECG-FM's preprocessing, that of fairseq-signals (fact sheet ecg-fm 1.1, 1.2).

500 Hz by linear interpolation, per-lead z-score over the whole recording, windows of 5 s. The
published results on CODE-15 are met to the last bit. ``ecg_fm`` and ``ecg_fm_reference`` differ
only for recordings faster than 500 Hz: interpolating alone lets frequencies above 250 Hz fold into
the ECG, so ``ecg_fm`` filters them away first. Missing leads, which the published code carries on
as NaN and drops later by a filter of its splits, are refused by both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.signal.normalizing import standardise
from ecg_fairseq.signal.recipe import Step
from ecg_fairseq.signal.recipes.windows import ResampledWindowRecipe


@dataclass(frozen=True)
class EcgFmRecipe(ResampledWindowRecipe):
    """Constants of ECG-FM's preprocessing."""

    window_samples: int = 2500
    resampling: str = "linear_up"

    @property
    def unit(self) -> str:
        """Standard deviations of the lead."""
        return "sd"

    def apply(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> np.ndarray:
        """Return float32 (windows, leads, window_samples) in sd; see the base class."""
        chosen = self._chosen(signal, leads, fs_hz)
        resampled = self._resampled(chosen, fs_hz)
        is_new = resampled is not chosen
        return self._windows(standardise(resampled, overwrite=is_new).values)

    def steps(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> list[Step]:
        """Return every stage with its explanation; see the base class."""
        chosen = self._chosen(signal, leads, fs_hz)
        resampled = self._resampled(chosen, fs_hz)
        values = standardise(resampled).values
        return [
            *self._first_steps(chosen, resampled, fs_hz),
            (
                "standardised",
                "each lead less its mean, divided by its population standard deviation over the "
                "whole recording; flat leads are 0",
                values,
            ),
            self._last_step(self._windows(values)),
        ]


ECG_FM = EcgFmRecipe("ecg_fm", 2)
ECG_FM_REFERENCE = EcgFmRecipe("ecg_fm_reference", 1, resampling="linear")
