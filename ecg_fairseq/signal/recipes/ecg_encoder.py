"""ecg_encoder's recordings, as ecg_preprocess makes them (fact sheet ecg-encoder 2): 250 Hz, 10 s.

No filter of any kind and values in mV. The scaling to 0..1 that ecg_encoder applies on loading is
``ecg_fairseq.signal.normalizing.scaling_of``: it is left to the loader because what a model
generates must be brought back to mV.

``ecg_encoder_reference`` keeps the published lead order (aVL before aVR, for MIMIC-IV-ECG and
CODE-15) and cubic interpolation without an anti-alias filter, which lets a 180 Hz tone pass at
nine tenths of its size. ``ecg_encoder`` resamples soundly and orders leads canonically.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.signal.recipe import Step
from ecg_fairseq.signal.recipes.ecg_byte import REFERENCE_ORDER
from ecg_fairseq.signal.recipes.windows import ResampledWindowRecipe


@dataclass(frozen=True)
class EcgEncoderRecipe(ResampledWindowRecipe):
    """Constants of ecg_preprocess."""

    target_fs_hz: float = 250.0
    window_samples: int = 2500

    def apply(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> np.ndarray:
        """Return float32 (windows, leads, window_samples) in mV; see the base class."""
        return self._windows(self._resampled(self._chosen(signal, leads, fs_hz), fs_hz))

    def steps(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> list[Step]:
        """Return every stage with its explanation; see the base class."""
        chosen = self._chosen(signal, leads, fs_hz)
        resampled = self._resampled(chosen, fs_hz)
        return [
            *self._first_steps(chosen, resampled, fs_hz),
            self._last_step(self._windows(resampled)),
        ]


ECG_ENCODER = EcgEncoderRecipe("ecg_encoder", 2)
ECG_ENCODER_REFERENCE = EcgEncoderRecipe(
    "ecg_encoder_reference", 2, leads=REFERENCE_ORDER, resampling="cubic"
)
