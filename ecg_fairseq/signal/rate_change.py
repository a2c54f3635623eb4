"""Changing the sampling rate: a sound polyphase form, and the forms that published systems used.

The published ones are kept to the bit or to rounding; they alias when the rate goes down (linear,
cubic) or ring at the ends of a recording (fourier), so recipes that are no ``_reference`` use them
only where no harm is done.
"""

from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy import signal as scipy_signal

from ecg_fairseq.errors import RecipeError, RecordError
from ecg_fairseq.signal.compiled import compiled_core
from ecg_fairseq.signal.resampling import resample_cubic

_LARGEST_DENOMINATOR = 1000
_ROUNDING = 1e-6  # samples; a rate such as 333.3 Hz has no exact binary form
_COMPILED_DTYPES = (np.float32, np.float64)


def change_rate(
    signal: np.ndarray,
    fs_hz: float,
    target_fs_hz: float,
    method: str,
    num_output: int | None = None,
) -> np.ndarray:
    """Return the recording at another rate; the same array where the rate is already right.

    Args:
        signal: (L, T).
        method: ``polyphase``, ``linear``, ``linear_up`` (linear when the rate goes up, polyphase
            when it goes down), ``cubic`` or ``fourier``.
        num_output: samples wanted; default :func:`resampled_length`.

    Returns:
        float64 (L, num_output).

    Raises:
        RecipeError: unknown method.
        RecordError: too few samples.
    """
    if fs_hz == target_fs_hz:
        return signal
    if num_output is None:
        num_output = resampled_length(signal.shape[-1], fs_hz, target_fs_hz, method)
    if num_output < 2 or signal.shape[-1] < 2:
        raise RecordError(
            f"{signal.shape[-1]} samples at {fs_hz:g} Hz are too few for {target_fs_hz:g} Hz"
        )
    if method == "linear_up":
        method = "linear" if target_fs_hz > fs_hz else "polyphase"
    if method == "linear":
        return resample_linear(signal, num_output)
    if method == "polyphase":
        return resample_polyphase(signal, fs_hz, target_fs_hz)[..., :num_output]
    if method == "cubic":
        return resample_cubic(signal.astype(np.float64, copy=False), num_output)
    if method == "fourier":
        return scipy_signal.resample(signal.astype(np.float64, copy=False), num_output, axis=-1)
    raise RecipeError(
        f"resampling method {method!r}; expected polyphase, linear, linear_up, cubic or fourier"
    )


def resampled_length(
    num_samples: int, fs_hz: float, target_fs_hz: float, method: str = "polyphase"
) -> int:
    """Return the samples after a change of rate: ``num_samples * target_fs_hz / fs_hz``, floored.

    Method ``linear`` is fairseq-signals' own, with the length that its files have:
    :func:`length_of_rounded_ratio`.
    """
    if method == "linear":
        return length_of_rounded_ratio(num_samples, fs_hz, target_fs_hz)
    return int(num_samples * target_fs_hz / fs_hz + _ROUNDING)


def length_of_rounded_ratio(num_samples: int, fs_hz: float, target_fs_hz: float) -> int:
    """Return the samples after a change of rate by the rule of fairseq-signals and earlier recipes.

    The ratio is rounded first, so that at many rates (10 s at 121 or 227 Hz, to 500 Hz) a sample is
    lost, and with it the last window.
    """
    return int(num_samples * (target_fs_hz / fs_hz))


@lru_cache(maxsize=8)
def _linear_grid(num_input: int, num_output: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sample left of each output, the way from it, and the steps of the input grid."""
    grid = np.linspace(0, num_output - 1, num_input)
    wanted = np.arange(num_output)
    right = np.searchsorted(grid, wanted).clip(1, num_input - 1)
    return right - 1, wanted - grid[right - 1], np.diff(grid)


def resample_linear(signal: np.ndarray, num_output: int) -> np.ndarray:
    """Interpolate linearly with both ends kept, to the last bit as fairseq-signals does.

    Fact sheet ecg-fm 1.1: the input stands on linspace(0, M-1, T), the output on 0..M-1. The
    difference of neighbours is taken in the signal's own dtype, all else in float64: bringing
    float32 input to float64 before would change results by 1e-7.

    Args:
        signal: (..., T), T at least 2.
        num_output: M, at least 2.

    Returns:
        float64 (..., M).
    """
    left, way, steps = _linear_grid(signal.shape[-1], num_output)
    core = compiled_core()
    if core is not None and signal.ndim == 2 and signal.dtype in _COMPILED_DTYPES:
        return core.interpolate_leads(np.require(signal, None, ("C", "ALIGNED")), left, way, steps)
    slopes = np.diff(signal, axis=-1) / steps
    result = slopes.take(left, axis=-1)
    result *= way
    result += signal.take(left, axis=-1)
    return result


def resample_polyphase(signal: np.ndarray, fs_hz: float, target_fs_hz: float) -> np.ndarray:
    """Resample with an anti-alias filter; sample j stands at time j / target_fs_hz.

    The line between a lead's first and last sample is set aside meanwhile, so that its ends stay.

    Args:
        signal: (..., T), T at least 2.

    Returns:
        float64 (..., ceil(T * ratio)); the ratio is met to 1e-6 of itself.
    """
    ratio = Fraction(target_fs_hz / fs_hz).limit_denominator(_LARGEST_DENOMINATOR)
    first = signal[..., :1].astype(np.float64)
    slope = (signal[..., -1:] - first) / (signal.shape[-1] - 1)
    level = signal - (first + slope * np.arange(signal.shape[-1]))
    result = scipy_signal.resample_poly(level, ratio.numerator, ratio.denominator, axis=-1)
    result += first + slope * (np.arange(result.shape[-1]) * float(1 / ratio))
    return result
