"""HeartLLM's tokenizer input (fact sheet heartllm 1.2): ten seconds at 500 Hz, z-score per lead.

``heartllm`` takes leads by name in canonical order and other rates and lengths; on PTB-XL it gives
the published numbers. The published code does not look at lead names, and MIMIC-IV-ECG writes aVF
before aVL: ``heartllm_reference`` keeps that order, and the limits of 500 Hz and 5000 samples, for
weights that were trained on MIMIC-IV-ECG by the published code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.signal.normalizing import standardise
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
        return self._segments(self._resampled(self._chosen(signal, leads, fs_hz), fs_hz))

    def steps(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> list[Step]:
        """Return every stage with its explanation; see the base class."""
        chosen = self._chosen(signal, leads, fs_hz)
        resampled = self._resampled(chosen, fs_hz)
        name, explanation, segments = self._last_step(self._segments(resampled))
        scaled = "; each lead of a window less its mean, divided by its population standard"
        return [
            *self._first_steps(chosen, resampled, fs_hz),
            (name, f"{explanation}{scaled} deviation, flat leads 0", segments),
        ]

    def _segments(self, resampled: np.ndarray) -> np.ndarray:
        count = resampled.shape[1] // self.window_samples
        kept = resampled[:, : count * self.window_samples]
        parts = kept.reshape(len(kept), count, self.window_samples)
        return self._windows(standardise(parts).values.reshape(len(kept), -1))


HEARTLLM = HeartLlmRecipe("heartllm", 2)
HEARTLLM_REFERENCE = HeartLlmRecipe(
    "heartllm_reference",
    1,
    leads=MIMIC_ORDER,
    required_fs_hz=500.0,
    required_samples=5000,
)
