"""ECG-Byte's preprocessing (fact sheet ecg-byte 1.2): notch, band-pass, wavelet, 250 Hz, windows.

``ecg_byte`` and ``ecg_byte_10s`` pick leads by name in canonical order and take any rate whose
Nyquist frequency lies above the pass band. ``ecg_byte_reference`` keeps the published lead order
(aVL before aVR) and the published limits: 500 Hz and 5000 samples.

Version 2 runs the 0.05 Hz high-pass in second-order sections. In version 1 and in the reference it
is one transfer function, as published, whose result moves by more than 1e-4 mV with the processor
and numpy's build. Version 1 stays for manifests, tokenizers and checkpoints that were made with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.filters import (
    butterworth,
    butterworth_sections,
    notch,
    zero_phase,
    zero_phase_in_sections,
)
from ecg_fairseq.signal.recipe import Step
from ecg_fairseq.signal.recipes.windows import WindowRecipe
from ecg_fairseq.signal.resampling import resample_cubic
from ecg_fairseq.signal.wavelets import denoise

_VERSION_IN_SECTIONS = 2


@dataclass(frozen=True)
class EcgByteRecipe(WindowRecipe):
    """Constants of ECG-Byte's preprocessing; ``version`` decides the form of the high-pass."""

    notch_hz: tuple[float, ...] = (50.0, 60.0)
    notch_quality: float = 30.0
    band_hz: tuple[float, float] = (0.5, 100.0)
    band_order: int = 4
    highpass_hz: float = 0.05
    highpass_order: int = 4
    wavelet: str = "db6"
    wavelet_level: int = 4
    target_fs_hz: float = 250.0
    window_samples: int = 500

    def apply(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> np.ndarray:
        """Return float32 (windows, leads, window_samples) in mV; see the base class."""
        chosen = self._chosen(signal, leads, fs_hz).astype(np.float64)
        denoised = denoise(self._filter(chosen, fs_hz), self.wavelet, self.wavelet_level)
        return self._windows(self._resample(denoised, fs_hz))

    def steps(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> list[Step]:
        """Return every stage with its explanation; see the base class."""
        chosen = self._chosen(signal, leads, fs_hz).astype(np.float64)
        filtered = self._filter(chosen, fs_hz)
        denoised = denoise(filtered, self.wavelet, self.wavelet_level)
        resampled = self._resample(denoised, fs_hz)
        mains = " and ".join(f"{frequency:g}" for frequency in self.notch_hz)
        return [
            self._lead_step(chosen),
            (
                "filtered",
                f"zero-phase notch at {mains} Hz (Q {self.notch_quality:g}), Butterworth band-pass "
                f"{self.band_hz[0]:g}-{self.band_hz[1]:g} Hz of order {self.band_order}, high-pass "
                f"{self.highpass_hz:g} Hz of order {self.highpass_order}"
                + (" in second-order sections" if self._is_in_sections else ""),
                filtered,
            ),
            (
                "denoised",
                f"{self.wavelet} wavelet, {self.wavelet_level} levels, details shrunk softly by "
                f"median(|D{self.wavelet_level}|)/0.6745 of each lead",
                denoised,
            ),
            (
                "resampled",
                f"cubic spline from {fs_hz:g} to {self.target_fs_hz:g} Hz, ends kept",
                resampled,
            ),
            self._last_step(self._windows(resampled)),
        ]

    @property
    def _is_in_sections(self) -> bool:
        return self.version >= _VERSION_IN_SECTIONS

    def _check_rate(self, fs_hz: float) -> None:
        if fs_hz <= 2 * self.band_hz[1]:
            raise RecordError(
                f"rate {fs_hz:g} Hz; recipe {self.name} keeps {self.band_hz[1]:g} Hz and needs more"
                f" than {2 * self.band_hz[1]:g} Hz: read the faster files (PTB-XL: --rate 500)"
            )

    def _num_resampled(self, samples: int, fs_hz: float) -> int:
        if self._is_in_sections:
            return super()._num_resampled(samples, fs_hz)
        return int(samples * self.target_fs_hz / fs_hz)

    def _filter(self, chosen: np.ndarray, fs_hz: float) -> np.ndarray:
        for frequency in self.notch_hz:
            chosen = zero_phase(chosen, notch(frequency, self.notch_quality, fs_hz))
        band = butterworth(self.band_order, tuple(self.band_hz), "bandpass", fs_hz)
        banded = zero_phase(chosen, band)
        highpass = (self.highpass_order, (self.highpass_hz,), "highpass", fs_hz)
        if self._is_in_sections:
            return zero_phase_in_sections(banded, butterworth_sections(*highpass))
        return zero_phase(banded, butterworth(*highpass))

    def _resample(self, denoised: np.ndarray, fs_hz: float) -> np.ndarray:
        return resample_cubic(denoised, self._num_resampled(denoised.shape[1], fs_hz))


REFERENCE_ORDER = ("I", "II", "III", "aVL", "aVR", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

ECG_BYTE = EcgByteRecipe("ecg_byte", 2)
ECG_BYTE_10S = EcgByteRecipe("ecg_byte_10s", 2, window_samples=2500)
ECG_BYTE_VERSION_1 = replace(ECG_BYTE, version=1)
ECG_BYTE_10S_VERSION_1 = replace(ECG_BYTE_10S, version=1)
ECG_BYTE_REFERENCE = EcgByteRecipe(
    "ecg_byte_reference",
    1,
    leads=REFERENCE_ORDER,
    required_fs_hz=500.0,
    required_samples=5000,
)
