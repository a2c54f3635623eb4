"""Scaling of recordings: per-lead z-scores, and the reversible forms that ecg_encoder trains on.

A form that a model generates in keeps its constants, so that its output can be read in mV again.
"""

from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import RecipeError
from ecg_fairseq.signal.compiled import compiled_core

_FLAT = 1e-9  # a range or deviation below this share of the level is rounding, not signal
NORMALISE_MODES = ("instance_minmax", "instance_zscore", "lead_minmax", "lead_zscore")


@dataclass(frozen=True, eq=False)
class Standardised:
    """Per-lead z-scores with the constants that made them.

    Attributes:
        values: float64 (..., T), mean 0 and population deviation 1; flat leads are 0 throughout.
        mean, deviation: float64 (..., 1), in the unit of the input; the deviation of a flat lead
            is 0.
    """

    values: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def flat_leads(signal: np.ndarray) -> np.ndarray:
    """Return whether all samples of a lead are equal up to rounding, bool (..., 1).

    Args:
        signal: (..., T).
    """
    low = signal.min(axis=-1, keepdims=True)
    high = signal.max(axis=-1, keepdims=True)
    return high - low <= _FLAT * np.maximum(np.abs(low), np.abs(high))


def standardise(
    signal: np.ndarray, known_flat: np.ndarray | None = None, overwrite: bool = False
) -> Standardised:
    """Subtract each lead's mean and divide by its population standard deviation.

    The deviation is taken of the centred values, as fairseq-signals does (fact sheet ecg-fm 1.1);
    its files are met to the last bit. A lead whose samples are all equal becomes exact zeros.

    Args:
        signal: (..., T), finite.
        known_flat: bool, broadcast against (..., 1): leads that were flat before filtering, which
            leaves them as tiny noise.
        overwrite: the result may take the place of a float64 ``signal`` that nobody needs again.
    """
    leads = signal.reshape(-1, signal.shape[-1])
    is_flat = np.zeros(len(leads), dtype=bool)
    if known_flat is not None:
        is_flat |= np.broadcast_to(known_flat, (*signal.shape[:-1], 1)).reshape(-1)
    core = compiled_core()
    if core is None:
        values, mean, deviation = standardise_leads(leads, is_flat, _FLAT)
    else:
        if overwrite:
            values = np.require(leads, np.float64, ("C", "ALIGNED", "WRITEABLE"))
        else:
            values = np.array(leads, dtype=np.float64, order="C")
        mean, deviation = core.standardise_leads(values, is_flat, _FLAT)
    leading = (*signal.shape[:-1], 1)
    return Standardised(
        values.reshape(signal.shape), mean.reshape(leading), deviation.reshape(leading)
    )


def standardise_leads(
    leads: np.ndarray, is_flat: np.ndarray, flat_share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return z-scores (L, T), means (L,) and deviations (L,) in plain numpy.

    Args:
        leads: (L, T), finite.
        is_flat: bool (L,), leads known to be flat.
        flat_share: a lead is flat, too, whose deviation is at most this share of its mean.
    """
    # Time-major, and in place: allocating is the larger part of the cost.
    values = np.array(leads.T, dtype=np.float64, order="C")
    mean = _mean(values)
    values -= mean
    around = values - _mean(values)
    around *= around
    deviation = np.sqrt(_mean(around))
    is_flat = is_flat | (deviation <= flat_share * np.abs(mean))
    deviation[is_flat] = 0.0
    values /= np.where(is_flat, 1.0, deviation)
    # The mean of equal numbers is rounded, so that their difference from it is not always 0.
    values[:, is_flat] = 0.0
    return np.ascontiguousarray(values.T), mean, deviation


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the means (L,) of time-major float64 values (T, L), summed sample after sample.

    ``numpy.mean`` adds in an order that depends on the memory layout, so that the same recording
    read from two kinds of files would differ in the last bits. The published files were summed
    from time-major arrays, that is in this order.
    """
    return np.einsum("tl->l", values) / len(values)


@dataclass(frozen=True, eq=False)
class Scaling:
    """A reversible scaling: ``scaled = (values - offset) / divisor``, clipped where it says so.

    Attributes:
        offset, divisor: float64, broadcast against (..., L, T); in mV.
        is_clipped: whether the scaled values are limited to 0..1.
    """

    offset: np.ndarray
    divisor: np.ndarray
    is_clipped: bool

    def scale(self, values: np.ndarray) -> np.ndarray:
        """Return the scaled form of ``values`` in mV, float32."""
        scaled = (values - self.offset) / self.divisor
        if self.is_clipped:
            np.clip(scaled, 0.0, 1.0, out=scaled)
        return scaled.astype(np.float32)

    def restore(self, scaled: np.ndarray) -> np.ndarray:
        """Return scaled values in mV again, float32; exact up to rounding unless clipped."""
        return (scaled * self.divisor + self.offset).astype(np.float32)


def scaling_of(signal: np.ndarray, mode: str, epsilon: float = 1e-6) -> Scaling:
    """Return the scaling that ecg_encoder uses for one segment (fact sheet ecg-encoder 4).

    Args:
        signal: (..., L, T) in mV, before any padding.
        mode: one of ``NORMALISE_MODES``: over the whole segment or lead by lead.
        epsilon: added to the divisor, so a constant segment becomes zeros.

    Raises:
        RecipeError: unknown mode.
    """
    if mode not in NORMALISE_MODES:
        raise RecipeError(f"normalisation {mode!r}; expected one of {', '.join(NORMALISE_MODES)}")
    scope, rule = mode.split("_")
    axes = (-2, -1) if scope == "instance" else (-1,)
    values = signal.astype(np.float64, copy=False)
    if rule == "minmax":
        offset = values.min(axis=axes, keepdims=True)
        divisor = values.max(axis=axes, keepdims=True) - offset
    else:
        offset = values.mean(axis=axes, keepdims=True)
        divisor = values.std(axis=axes, keepdims=True)
    return Scaling(offset, divisor + epsilon, rule == "minmax")
