"""Zero-phase band-pass and resampling in one step, in the frequency domain.

One forward transform serves several bands and rates, which makes short recordings cheap. The ends
are continued by point reflection and faded out, so that the periodic transform sees no jump.
"""

import math
from functools import lru_cache

import numpy as np
from scipy import fft

from ecg_fairseq.errors import RecordError

PADDING_S = 1.0
_END_S = 0.25


class Spectrum:
    """A recording in the frequency domain, ready to be filtered and brought to other rates.

    Args:
        signal: (L, T), finite.
        fs_hz: its rate.

    Raises:
        RecordError: fewer than two samples.
    """

    def __init__(self, signal: np.ndarray, fs_hz: float):
        num_samples = signal.shape[1]
        if num_samples < 2:
            raise RecordError(f"{num_samples} samples cannot be filtered; at least 2 are needed")
        self.fs_hz = fs_hz
        self.num_samples = num_samples
        self.seconds = num_samples / fs_hz
        # A whole number of seconds, so that every whole rate has a whole number of samples.
        self.padded_seconds = math.ceil(self.seconds + 2 * PADDING_S - 1e-6)
        num_padded = round(self.padded_seconds * fs_hz)
        self.num_before = min((num_padded - num_samples) // 2, num_samples - 1)
        padded = _pad(signal, fs_hz, num_padded, self.num_before)
        self.coefficients = fft.rfft(padded, axis=-1)

    def band(
        self,
        low_hz: float,
        high_hz: float,
        output_fs_hz: float,
        orders: tuple[int, int] = (2, 4),
        row: int | None = None,
    ) -> np.ndarray:
        """Return the recording band-passed and resampled.

        Args:
            low_hz, high_hz: edges where the gain is one half.
            output_fs_hz: a whole number of Hz.
            orders: steepness of the lower and the upper edge: a forward-backward Butterworth
                filter of that order has the same gain.
            row: only this lead, or all.

        Returns:
            float64 (L, round(T * output_fs / fs)); sample j stands at time j / output_fs.
        """
        num_output = round(self.padded_seconds * output_fs_hz)
        chosen = self.coefficients if row is None else self.coefficients[row : row + 1]
        gain = _gain(self.padded_seconds, low_hz, high_hz, orders, chosen.shape[1], num_output)
        size = len(gain)
        # The scale keeps amplitudes: irfft divides by its own length.
        padded = fft.irfft(chosen[:, :size] * gain, n=num_output, axis=-1)
        padded *= num_output / round(self.padded_seconds * self.fs_hz)
        return self._cut(padded, output_fs_hz)

    def _cut(self, padded: np.ndarray, output_fs_hz: float) -> np.ndarray:
        """Return the part without padding; a shift of less than a sample is interpolated."""
        start = self.num_before * output_fs_hz / self.fs_hz
        length = max(1, round(self.seconds * output_fs_hz))
        whole = round(start)
        if abs(start - whole) < 1e-6:
            return padded[:, whole : whole + length]
        positions = start + np.arange(length)
        left = np.floor(positions).astype(int)
        share = positions - left
        right = np.minimum(left + 1, padded.shape[1] - 1)
        return padded[:, left] * (1 - share) + padded[:, right] * share


def _pad(signal: np.ndarray, fs_hz: float, num_padded: int, before: int) -> np.ndarray:
    """Return (L, num_padded): the signal less its tilt, with faded point reflections at both ends.

    The tilt is the line between the medians of the first and the last quarter of a second, so that
    a beat at an end does not tilt the whole recording.
    """
    num_samples = signal.shape[1]
    size = max(1, min(num_samples, round(_END_S * fs_hz)))
    left = np.median(signal[:, :size], axis=1)
    right = np.median(signal[:, -size:], axis=1)
    level = signal - np.linspace(left, right, num_samples, axis=1)
    after = min(num_padded - num_samples - before, num_samples - 1)
    end = before + num_samples
    padded = np.zeros((len(signal), num_padded))
    padded[:, before:end] = level
    padded[:, :before] = (2 * level[:, :1] - level[:, before:0:-1]) * _fade(before)
    reflected = 2 * level[:, -1:] - level[:, -2 : -after - 2 : -1]
    padded[:, end : end + after] = reflected * _fade(after)[::-1]
    return padded


@lru_cache(maxsize=64)
def _fade(length: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(length, 1))


@lru_cache(maxsize=64)
def _gain(
    seconds: float,
    low_hz: float,
    high_hz: float,
    orders: tuple[int, int],
    num_coefficients: int,
    num_output: int,
) -> np.ndarray:
    """Return the gain of every coefficient that exists in both input and output."""
    size = min(num_coefficients, num_output // 2 + 1)
    frequencies = np.arange(size) / seconds
    with np.errstate(divide="ignore"):
        low = 1.0 / (1.0 + (low_hz / frequencies) ** (2 * orders[0]))
    gain = low / (1.0 + (frequencies / high_hz) ** (2 * orders[1]))
    # The coefficient at half the rate has no phase of its own and would not survive a round trip.
    if size == num_output // 2 + 1 and num_output % 2 == 0:
        gain[-1] = 0.0
    return gain
