"""What is made of simulated recordings of ten seconds: longer ones, median beats, heart rates."""

from dataclasses import replace
from itertools import cycle

import numpy as np

from ecg_fairseq.records.simulated.plan import SimulatedCase, simulate_case
from ecg_fairseq.signal.beats import QRS_BAND_HZ, BeatWindow, detect_beats, median_beat
from ecg_fairseq.signal.spectral import Spectrum

_STRETCH_S = 10.0
_FADE_S = 0.2
# A record of half an hour repeats a minute: enough for its form, and quick to make.
_MOST_STRETCHES = 6
_FIRST_EXTRA_VISIT = 1000  # keys of the further stretches; no patient has so many visits
BEAT_SAMPLES = 600
_BEFORE_S, _CORE_S, _MAX_SHIFT_S = 0.45, (0.10, 0.14), 0.02
_BAND_HZ = (0.5, 150.0)


def simulate_seconds(case: SimulatedCase, seed: int, fs_hz: int, seconds: float) -> np.ndarray:
    """Return float32 (12, T) in mV, T = round(seconds * fs_hz), of one patient's findings.

    The first ten seconds are :func:`simulate_case`'s own, further ones follow after short
    cross-fades. The relations of the limb leads hold, for a cross-fade is a weighted mean
    of two recordings.
    """
    wanted = round(seconds * fs_hz)
    first = simulate_case(case, seed, fs_hz).signal
    if wanted <= first.shape[1]:
        return np.ascontiguousarray(first[:, :wanted])
    fade = round(_FADE_S * fs_hz)
    step = round(_STRETCH_S * fs_hz) - fade
    count = -(-(wanted - fade) // step)
    stretches = [first]
    for number in range(1, min(count, _MOST_STRETCHES)):
        planned = replace(case.planned, visit=_FIRST_EXTRA_VISIT + number)
        stretches.append(simulate_case(replace(case, planned=planned), seed, fs_hz).signal)
    rising = np.linspace(0.0, 1.0, fade, dtype=np.float32)
    joined = np.zeros((len(first), count * step + fade), dtype=np.float32)
    for number, stretch in zip(range(count), cycle(stretches), strict=False):
        part = joined[:, number * step : number * step + stretch.shape[1]]
        if number:
            part[:, :fade] *= np.float32(1.0) - rising
            part[:, :fade] += rising * stretch[:, :fade]
            part[:, fade:] = stretch[:, fade:]
        else:
            part[:] = stretch
    return np.ascontiguousarray(joined[:, :wanted])


def typical_beat(signal: np.ndarray, fs_hz: float) -> np.ndarray:
    """Return the median beat that a device would report, float64 (L, 600) in mV.

    Args:
        signal: (L, T) in mV; its beats are aligned.
        fs_hz: its rate.
    """
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
