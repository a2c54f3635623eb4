"""The median beat that a device would report of a simulated recording."""

import numpy as np

from ecg_fairseq.signal.beats import QRS_BAND_HZ, BeatWindow, detect_beats, median_beat
from ecg_fairseq.signal.spectral import Spectrum

BEAT_SAMPLES = 600
_BEFORE_S, _CORE_S, _MAX_SHIFT_S = 0.45, (0.10, 0.14), 0.02
_BAND_HZ = (0.5, 150.0)


def typical_beat(signal: np.ndarray, fs_hz: float) -> np.ndarray:
    """Return float64 (L, 600) in mV, the median of the aligned beats of a signal (L, T) in mV."""
    spectrum = Spectrum(signal.astype(np.float64), fs_hz)
    positions = detect_beats(spectrum.band(*QRS_BAND_HZ, fs_hz), fs_hz)
    before = round(_BEFORE_S * fs_hz)
    core = BeatWindow(round(_CORE_S[0] * fs_hz), round(_CORE_S[1] * fs_hz))
    return median_beat(
        spectrum.band(*_BAND_HZ, fs_hz),
        positions,
        BeatWindow(before, BEAT_SAMPLES - before),
        core,
        round(_MAX_SHIFT_S * fs_hz),
    )


def heart_rate(signal: np.ndarray, fs_hz: float) -> float:
    """Return beats a minute of a signal (L, T) in mV; NaN below two beats."""
    band = Spectrum(signal.astype(np.float64), fs_hz).band(*QRS_BAND_HZ, fs_hz)
    positions = detect_beats(band, fs_hz)
    return 60.0 * fs_hz / float(np.median(np.diff(positions))) if len(positions) > 1 else np.nan
