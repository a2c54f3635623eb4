"""Beats of a multi-lead recording: detection, and one typical beat.

Detection: the energy between 5 and 20 Hz, summed over leads with more weight for leads whose beats
stand out, smoothed over a QRS, against a level taken from the recording itself.

The typical beat: beats are grouped by shape round the one that most others resemble and aligned;
the median of the group is taken, so that a few premature beats do not show.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

QRS_BAND_HZ = (5.0, 20.0)
_SMOOTHING_S = 0.10
_REFRACTORY_S = 0.24
_LEVEL_WINDOW_S = 2.0
_LEVEL_SHARE = 0.22
_FLOOR_RATIO = 4.0
_T_WAVE_S = 0.38
_T_WAVE_SHARE = 0.35
_SMALLEST_MV = 0.005
_SAME_SHAPE = 0.80


def qrs_energy(qrs_band: np.ndarray, fs_hz: float) -> np.ndarray:
    """Return the weighted, smoothed energy of all leads; about 1 at a typical beat.

    Args:
        qrs_band: (L, T) in mV, band-passed to ``QRS_BAND_HZ``.
        fs_hz: its rate.
    """
    magnitude = np.abs(qrs_band)
    size = max(1, round(fs_hz))
    num_windows = max(1, magnitude.shape[1] // size)
    windows = magnitude[:, : num_windows * size].reshape(len(magnitude), num_windows, -1)
    peak = np.median(windows.max(axis=2), axis=1)
    floor = np.median(magnitude, axis=1)
    usable = peak > _SMALLEST_MV
    if not usable.any():
        return np.zeros(magnitude.shape[1])
    contrast = np.where(usable, peak / np.maximum(floor, 1e-6), 0.0)
    weight = (contrast / contrast.max()) ** 2
    scaled = magnitude / np.maximum(peak, _SMALLEST_MV)[:, None]
    energy = (weight[:, None] * scaled**2).sum(axis=0) / weight.sum()
    return uniform_filter1d(energy, max(1, round(_SMOOTHING_S * fs_hz)), mode="constant")


def detect_beats(qrs_band: np.ndarray, fs_hz: float) -> np.ndarray:
    """Return the sample numbers (int64, ascending) of the QRS complexes.

    Args:
        qrs_band: (L, T) in mV, band-passed to ``QRS_BAND_HZ``.
        fs_hz: its rate.

    Returns:
        Positions of greatest QRS energy; empty when nothing stands out.
    """
    energy = qrs_energy(qrs_band, fs_hz)
    reach = max(1, round(_REFRACTORY_S * fs_hz))
    is_peak = (energy == maximum_filter1d(energy, 2 * reach + 1)) & (energy > 0)
    size = round(_LEVEL_WINDOW_S * fs_hz)
    starts = range(0, max(1, len(energy) - size // 2), max(1, size // 2))
    level = float(np.median([energy[start : start + size].max() for start in starts]))
    threshold = max(_LEVEL_SHARE * level, _FLOOR_RATIO * float(np.median(energy)))
    candidates = np.flatnonzero(is_peak & (energy > threshold))
    return _without_t_waves(candidates, energy, fs_hz)


def _without_t_waves(candidates: np.ndarray, energy: np.ndarray, fs_hz: float) -> np.ndarray:
    """Drop a candidate that follows a much stronger one within the time of a T wave."""
    kept: list[int] = []
    for position in candidates:
        close = bool(kept) and position - kept[-1] < _T_WAVE_S * fs_hz
        if close and energy[position] < _T_WAVE_SHARE * energy[kept[-1]]:
            continue
        if close and energy[kept[-1]] < _T_WAVE_SHARE * energy[position]:
            kept.pop()
        kept.append(int(position))
    return np.array(kept, dtype=np.int64)


@dataclass(frozen=True)
class BeatWindow:
    """The cut-out round a beat, in samples before and after its position."""

    before: int
    after: int

    @property
    def length(self) -> int:
        """Samples of one beat."""
        return self.before + self.after


def whole_beats(positions: np.ndarray, num_samples: int, window: BeatWindow) -> np.ndarray:
    """Return the positions whose window lies within the signal; all of them when none does."""
    inside = (positions >= window.before) & (positions + window.after <= num_samples)
    return positions[inside] if inside.any() else positions


def cut_beats(signal: np.ndarray, positions: np.ndarray, window: BeatWindow) -> np.ndarray:
    """Return the beats, (n, L, length); beyond its ends the signal's end values continue it."""
    columns = positions[:, None] + np.arange(-window.before, window.after)
    columns = np.clip(columns, 0, signal.shape[1] - 1)
    return signal[:, columns].transpose(1, 0, 2)


def typical_beats(beats: np.ndarray) -> np.ndarray:
    """Return the indices of the beats of the commonest shape.

    The beat that resembles most others (ties: most closely, then the earliest) leads the group and
    stands first.

    Args:
        beats: (n, L, T), n above 0.
    """
    flat = beats.reshape(len(beats), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = flat / np.maximum(norm, 1e-12)
    likeness = flat @ flat.T
    alike = likeness >= _SAME_SHAPE
    np.fill_diagonal(alike, True)
    sizes = alike.sum(axis=1)
    closeness = np.where(alike, likeness, 0.0).sum(axis=1)
    leader = max(range(len(beats)), key=lambda row: (sizes[row], round(closeness[row], 6), -row))
    members = np.flatnonzero(alike[leader])
    return np.concatenate(([leader], members[members != leader]))


def _undisturbed(members: np.ndarray, positions: np.ndarray, window: BeatWindow) -> np.ndarray:
    """Return the members without a beat of another shape in their window; all if few remain."""
    strangers = np.setdiff1d(np.arange(len(positions)), members)
    distance = positions[strangers][None] - positions[members][:, None]
    near = (distance > -window.before) & (distance < window.after)
    calm = members[~near.any(axis=1)]
    return calm if len(calm) >= 2 else members


def median_beat(
    signal: np.ndarray,
    positions: np.ndarray,
    window: BeatWindow,
    core: BeatWindow,
    max_shift: int,
) -> np.ndarray:
    """Return the typical beat, (L, length), as the median of aligned beats of one shape.

    Args:
        signal: (L, T) in mV.
        positions: beats; when empty, the stretch of greatest deviation stands for a beat.
        window: what to cut out.
        core: the part of the window, round the QRS, by which shapes are compared and aligned.
        max_shift: samples by which beats may be moved to fit the leading beat.
    """
    if not len(positions):
        deviation = np.abs(signal - np.median(signal, axis=1, keepdims=True)).sum(axis=0)
        positions = np.array([int(np.argmax(deviation))])
    wide = BeatWindow(window.before + max_shift, window.after + max_shift)
    positions = whole_beats(positions, signal.shape[1], wide)
    beats = cut_beats(signal, positions, wide)
    start = wide.before - core.before
    members = typical_beats(beats[:, :, start : start + core.length])
    template = beats[members[0]][:, start : start + core.length]
    members = _undisturbed(members, positions, window)
    shifts = range(-max_shift, max_shift + 1)
    fit = np.array(
        [
            np.einsum("nlt,lt->n", _part(beats[members], start + shift, core.length), template)
            for shift in shifts
        ]
    )
    # Of equally good shifts the smallest wins, so a flat lead is not moved at all.
    order = np.argsort(np.abs(shifts), kind="stable")
    best = order[np.argmax(fit[order], axis=0)]
    aligned = [
        beats[member, :, row : row + window.length]
        for member, row in zip(members, best, strict=True)
    ]
    return np.median(aligned, axis=0)


def _part(beats: np.ndarray, start: int, length: int) -> np.ndarray:
    return beats[:, :, start : start + length]


def qrs_onset(beat: np.ndarray, position: int, fs_hz: float) -> int:
    """Return the sample where the QRS of a typical beat begins.

    Going back from ``position``, the first stretch of 20 ms whose slope, over all leads, stays
    below 8 % of the steepest within 80 ms; at least 20 ms and at most 140 ms before it.
    """
    slope = np.abs(np.diff(beat, axis=1)).sum(axis=0)
    reach = round(0.08 * fs_hz)
    steepest = slope[max(0, position - reach) : position + reach].max(initial=0.0)
    calm = slope < 0.08 * steepest
    run = max(1, round(0.02 * fs_hz))
    earliest = max(run, position - round(0.14 * fs_hz))
    latest = max(earliest, position - round(0.02 * fs_hz))
    for onset in range(latest, earliest - 1, -1):
        if calm[onset - run : onset].all():
            return onset
    return earliest
