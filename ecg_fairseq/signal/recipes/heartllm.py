"""HeartLLM's tokenizer input (fact sheet heartllm 1.2): ten seconds at 500 Hz, z-score per lead.

``heartllm`` takes leads by name in canonical order and other rates and lengths; on PTB-XL it gives
the published numbers. The published code does not look at lead names, and MIMIC-IV-ECG writes aVF
before aVL: ``heartllm_reference`` keeps that order, and the limits of 500 Hz and 5000 samples, for
weights that were trained on MIMIC-IV-ECG by the published code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.signal.normalizing import Standardised, standardise
from ecg_fairseq.signal.recipe import Step
from ecg_fairseq.signal.recipes.windows import ResampledWindowRecipe

MIMIC_ORDER = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


@dataclass(frozen=True)
class HeartLlmRecipe(ResampledWindowRecipe):
    """Constants of HeartLLM's preprocessing; every window is standardised on its own."""

    @property
    def unit(self) -> str:
        """Standard deviations of the lead."""
        return "sd"

    def apply(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> np.ndarray:
        """Return float32 (windows, leads, window_samples) in sd; see the base class."""
        return self.apply_scaled(signal, leads, fs_hz)[0]

    def apply_scaled(
        self, signal: np.ndarray, leads: Sequence[str], fs_hz: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return segments in sd, with mean and deviation of their leads; see the base class."""
        standardised = self._standardised(
            self._resampled(self._chosen(signal, leads, fs_hz), fs_hz)
        )
        constants = np.concatenate([standardised.mean, standardised.deviation], axis=-1)
        scaling = np.ascontiguousarray(constants.transpose(1, 0, 2), dtype=np.float32)
        return self._segments(standardised), scaling

    def steps(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> list[Step]:
        """Return every stage with its explanation; see the base class."""
        chosen = self._chosen(signal, leads, fs_hz)
        resampled = self._resampled(chosen, fs_hz)
        standardised = self._standardised(resampled)
        name, explanation, segments = self._last_step(self._segments(standardised))
        scaled = "; each lead of a window less its mean, divided by its population standard"
        return [
            *self._first_steps(chosen, resampled, fs_hz),
            (name, f"{explanation}{scaled} deviation, flat leads 0", segments),
        ]

    def _standardised(self, resampled: np.ndarray) -> Standardised:
        """Return whole windows (leads, windows, window_samples), each lead of each by itself."""
        count = resampled.shape[1] // self.window_samples
        kept = resampled[:, : count * self.window_samples]
        return standardise(kept.reshape(len(kept), count, self.window_samples))

    def _segments(self, standardised: Standardised) -> np.ndarray:
        return self._windows(standardised.values.reshape(len(standardised.values), -1))


HEARTLLM = HeartLlmRecipe("heartllm", 2)
HEARTLLM_REFERENCE = HeartLlmRecipe(
    "heartllm_reference",
    1,
    leads=MIMIC_ORDER,
    required_fs_hz=500.0,
    required_samples=5000,
)
