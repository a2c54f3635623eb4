"""ECG-Byte's preprocessing (fact sheet ecg-byte 1.2): notch, band-pass, wavelet, 250 Hz, windows.

``ecg_byte`` and ``ecg_byte_10s`` pick leads by name in canonical order and take any rate whose
Nyquist frequency lies above the pass band. ``ecg_byte_reference`` keeps the published lead order
(aVL before aVR) and the published limits: 500 Hz and 5000 samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.filters import butterworth, notch, zero_phase
from ecg_fairseq.signal.leads import CANONICAL_LEADS, select_leads
from ecg_fairseq.signal.recipe import Recipe, Step, Strip, check_signal
from ecg_fairseq.signal.resampling import resample_cubic
from ecg_fairseq.signal.wavelets import denoise


@dataclass(frozen=True)
class EcgByteRecipe(Recipe):
    """Constants of ECG-Byte's preprocessing.

    Attributes:
        window_samples: samples of one segment at ``target_fs_hz``; the remainder is dropped.
        required_fs_hz: the only accepted rate, or None.
        required_samples: the only accepted length, or None.
    """

    leads: tuple[str, ...] = CANONICAL_LEADS
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
    required_fs_hz: float | None = None
    required_samples: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(leads, window_samples)."""
        return (len(self.leads), self.window_samples)

    @property
    def strips(self) -> tuple[Strip, ...]:
        """One whole window of each lead."""
        return tuple(
            Strip(lead, "lead", self.target_fs_hz, self.window_samples) for lead in self.leads
        )

    def apply(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> np.ndarray:
        """Return float32 (windows, leads, window_samples) in mV; see the base class."""
        chosen = self._check(signal, leads, fs_hz)
        denoised = denoise(self._filter(chosen, fs_hz), self.wavelet, self.wavelet_level)
        return self._windows(self._resample(denoised, fs_hz))

    def steps(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> list[Step]:
        """Return every stage with its explanation; see the base class."""
        chosen = self._check(signal, leads, fs_hz)
        filtered = self._filter(chosen, fs_hz)
        denoised = denoise(filtered, self.wavelet, self.wavelet_level)
        resampled = self._resample(denoised, fs_hz)
        mains = " and ".join(f"{frequency:g}" for frequency in self.notch_hz)
        return [
            ("leads", f"picked by name: {' '.join(self.leads)}", chosen),
            (
                "filtered",
                f"zero-phase notch at {mains} Hz (Q {self.notch_quality:g}), Butterworth band-pass "
                f"{self.band_hz[0]:g}-{self.band_hz[1]:g} Hz of order {self.band_order}, high-pass "
                f"{self.highpass_hz:g} Hz of order {self.highpass_order}",
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
            (
                "segments",
                f"windows of {self.window_samples} samples "
                f"({self.window_samples / self.target_fs_hz:g} s), the remainder dropped",
                self._windows(resampled),
            ),
        ]

    def _check(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> np.ndarray:
        check_signal(signal, leads, fs_hz)
        chosen = select_leads(signal, leads, self.leads).astype(np.float64)
        samples = chosen.shape[1]
        if self.required_fs_hz is not None and fs_hz != self.required_fs_hz:
            raise RecordError(
                f"rate {fs_hz:g} Hz; recipe {self.name} takes only {self.required_fs_hz:g} Hz: "
                "read the other files of the dataset or use recipe ecg_byte"
            )
        if self.required_samples is not None and samples != self.required_samples:
            raise RecordError(
                f"{samples} samples; recipe {self.name} takes only {self.required_samples}: "
                "use recipe ecg_byte"
            )
        if fs_hz <= 2 * self.band_hz[1]:
            raise RecordError(
                f"rate {fs_hz:g} Hz; recipe {self.name} keeps {self.band_hz[1]:g} Hz and needs more"
                f" than {2 * self.band_hz[1]:g} Hz: read the faster files (PTB-XL: --rate 500)"
            )
        if self._num_resampled(samples, fs_hz) < self.window_samples:
            raise RecordError(
                f"{samples / fs_hz:.2f} s long; recipe {self.name} needs at least "
                f"{self.window_samples / self.target_fs_hz:g} s"
            )
        return chosen

    def _num_resampled(self, samples: int, fs_hz: float) -> int:
        return int(samples * self.target_fs_hz / fs_hz)

    def _filter(self, chosen: np.ndarray, fs_hz: float) -> np.ndarray:
        for frequency in self.notch_hz:
            chosen = zero_phase(chosen, notch(frequency, self.notch_quality, fs_hz))
        band = butterworth(self.band_order, tuple(self.band_hz), "bandpass", fs_hz)
        highpass = butterworth(self.highpass_order, (self.highpass_hz,), "highpass", fs_hz)
        return zero_phase(zero_phase(chosen, band), highpass)

    def _resample(self, denoised: np.ndarray, fs_hz: float) -> np.ndarray:
        return resample_cubic(denoised, self._num_resampled(denoised.shape[1], fs_hz))

    def _windows(self, resampled: np.ndarray) -> np.ndarray:
        count = resampled.shape[1] // self.window_samples
        kept = resampled[:, : count * self.window_samples].astype(np.float32)
        parts = kept.reshape(len(self.leads), count, self.window_samples)
        return np.ascontiguousarray(parts.transpose(1, 0, 2))


REFERENCE_ORDER = ("I", "II", "III", "aVL", "aVR", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

ECG_BYTE = EcgByteRecipe("ecg_byte", 1)
ECG_BYTE_10S = EcgByteRecipe("ecg_byte_10s", 1, window_samples=2500)
ECG_BYTE_REFERENCE = EcgByteRecipe(
    "ecg_byte_reference",
    1,
    leads=REFERENCE_ORDER,
    required_fs_hz=500.0,
    required_samples=5000,
)
