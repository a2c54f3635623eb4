"""Additive disturbances: mains, muscle noise, baseline shift and baseline wander.

Formulas of fairseq-signals (fact sheet ecg-fm 2.3). Amplitudes are in the unit of the signal,
standard deviations where it was z-scored. With ``dependency`` "limb" the leads III, aVR, aVL and
aVF follow the disturbed I and II, as on a real recorder, in whatever unit; "published" derives them
as in mV, which is wrong for z-scored leads; "none" leaves every lead as it came out.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecg_fairseq.errors import RecipeError
from ecg_fairseq.signal.augmentations.augmentation import (
    Augmentation,
    Rng,
    Shape,
    check_dependency,
    follow_limb_leads,
    rederive_limb_leads,
)

_TURN = 2 * np.pi


@dataclass(frozen=True)
class AdditiveNoise(Augmentation):
    """Base of the additive disturbances.

    Attributes:
        min_amplitude, max_amplitude: the range a drawn amplitude is uniform in.
        fs_hz: rate of the signals.
        dependency: "limb", "published" or "none".
    """

    min_amplitude: float = 0.0
    max_amplitude: float = 0.1
    fs_hz: float = 500.0
    dependency: str = "limb"

    def apply(self, signal: np.ndarray, parameters: Any) -> np.ndarray:
        """Return the disturbed signal, float32 (L, T); see the base class."""
        if parameters is None:
            return signal.astype(np.float32, copy=False)
        check_dependency(self.dependency)
        disturbed = self._disturbed(signal, parameters)
        if self.dependency == "limb":
            follow_limb_leads(disturbed, signal)
        elif self.dependency == "published":
            rederive_limb_leads(disturbed)
        return disturbed.astype(np.float32)

    @abstractmethod
    def _disturbed(self, signal: np.ndarray, parameters: Any) -> np.ndarray:
        """Return a new float64 array (L, T)."""

    def _amplitude(self, rng: Rng) -> float:
        return float(rng.uniform(self.min_amplitude, self.max_amplitude))


@dataclass(frozen=True)
class PowerlineParameters:
    """One sine for all leads; phase in radians."""

    amplitude: float
    frequency_hz: float
    phase: float


@dataclass(frozen=True)
class PowerlineNoise(AdditiveNoise):
    """Mains at 50 or 60 Hz."""

    def draw(self, rng: Rng, shape: Shape) -> PowerlineParameters | None:
        """Draw amplitude, frequency and phase."""
        if self._is_left_out(rng):
            return None
        amplitude = self._amplitude(rng)
        frequency_hz = 50.0 if rng.uniform(0, 1) > 0.5 else 60.0
        return PowerlineParameters(amplitude, frequency_hz, float(rng.uniform(0, _TURN)))

    def _disturbed(self, signal: np.ndarray, parameters: PowerlineParameters) -> np.ndarray:
        turns = _TURN * parameters.frequency_hz * np.arange(signal.shape[1]) / self.fs_hz
        return signal + parameters.amplitude * np.cos(turns + parameters.phase)


@dataclass(frozen=True, eq=False)
class EmgParameters:
    """White noise: amplitudes (L, 1) and standard normal values (L, T)."""

    amplitudes: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True)
class EmgNoise(AdditiveNoise):
    """Muscle noise: white, of another amplitude in every lead."""

    def draw(self, rng: Rng, shape: Shape) -> EmgParameters | None:
        """Draw one amplitude a lead, then all samples."""
        if self._is_left_out(rng):
            return None
        amplitudes = rng.uniform(self.min_amplitude, self.max_amplitude, size=(shape[0], 1))
        return EmgParameters(amplitudes, rng.normal(0, 1, size=shape))

    def _disturbed(self, signal: np.ndarray, parameters: EmgParameters) -> np.ndarray:
        disturbed = parameters.amplitudes * parameters.noise
        disturbed += signal
        return disturbed


@dataclass(frozen=True, eq=False)
class BaselineShiftParameters:
    """Steps: signs (L, 1), one amplitude, and the samples [start, end) of every stretch."""

    signs: np.ndarray
    amplitude: float
    stretches: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class BaselineShift(AdditiveNoise):
    """Stretches of another level, up or down in each lead.

    Attributes:
        shift_ratio: mean length of a stretch as a share of the signal.
        num_segments: how many stretches.
        form: "sound" shifts by sign x amplitude. The published code has sign - amplitude, that is
            about one standard deviation whatever the range: "reference".
    """

    shift_ratio: float = 0.2
    num_segments: int = 1
    form: str = "sound"

    def draw(self, rng: Rng, shape: Shape) -> BaselineShiftParameters | None:
        """Draw signs and amplitude, then length and start of every stretch."""
        if self._is_left_out(rng):
            return None
        num_leads, num_samples = shape
        signs = rng.choice([1, -1], size=(num_leads, 1))
        amplitude = self._amplitude(rng)
        mean_length = num_samples * self.shift_ratio
        stretches = []
        for _ in range(self.num_segments):
            drawn = float(rng.normal(mean_length, 0.2 * mean_length))
            length = min(max(drawn, 0.0), float(num_samples))
            start = int(rng.uniform(0, num_samples - length))
            stretches.append((start, int(start + length)))
        return BaselineShiftParameters(signs, amplitude, tuple(stretches))

    def _disturbed(self, signal: np.ndarray, parameters: BaselineShiftParameters) -> np.ndarray:
        if self.form == "sound":
            steps = parameters.signs * parameters.amplitude
        elif self.form == "reference":
            steps = parameters.signs - parameters.amplitude
        else:
            raise RecipeError(f'baseline shift form {self.form!r}; expected "sound" or "reference"')
        disturbed = signal.astype(np.float64)
        for start, end in parameters.stretches:
            disturbed[:, start:end] += steps
        return disturbed


@dataclass(frozen=True, eq=False)
class BaselineWanderParameters:
    """Slow sines: weights (L, 1); amplitudes, frequencies in Hz and phases, each (k,)."""

    weights: np.ndarray
    amplitudes: np.ndarray
    frequencies_hz: np.ndarray
    phases: np.ndarray


@dataclass(frozen=True)
class BaselineWander(AdditiveNoise):
    """A sum of slow sines, weighted differently in each lead.

    Attributes:
        min_freq_hz, max_freq_hz: range of the sines' frequencies.
        num_sines: how many.
    """

    min_freq_hz: float = 0.01
    max_freq_hz: float = 0.2
    num_sines: int = 3

    def draw(self, rng: Rng, shape: Shape) -> BaselineWanderParameters | None:
        """Draw weights and amplitudes, then frequency and phase of every sine."""
        if self._is_left_out(rng):
            return None
        weights = rng.normal(1, 0.5, size=(shape[0], 1))
        amplitudes = rng.uniform(self.min_amplitude, self.max_amplitude, size=self.num_sines)
        low = (self.min_freq_hz, 0.0)
        high = (self.max_freq_hz, _TURN)
        sines = rng.uniform(low, high, size=(self.num_sines, 2))
        return BaselineWanderParameters(weights, amplitudes, sines[:, 0], sines[:, 1])

    def _disturbed(self, signal: np.ndarray, parameters: BaselineWanderParameters) -> np.ndarray:
        turns = _TURN * parameters.frequencies_hz[:, None] * np.arange(signal.shape[1])
        sines = np.cos(turns / self.fs_hz + parameters.phases[:, None])
        return signal + parameters.weights * (parameters.amplitudes @ sines)
