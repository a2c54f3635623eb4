"""Zero-phase filters for several leads at once, with cached coefficients.

The same mathematics as ``scipy.signal.filtfilt`` with its default padding, which ECG-Byte uses;
designing the filters and their start-up states once makes short recordings several times cheaper.
The compiled core (``rust_bpe``), where it is installed, advances all leads together; it gives the
same bits as scipy, so nothing depends on whether it is there.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import signal as scipy_signal

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.compiled import compiled_core


@dataclass(frozen=True, eq=False)
class Filter:
    """Coefficients of a linear filter in transfer-function form and its steady start-up state."""

    numerator: np.ndarray
    denominator: np.ndarray
    initial_state: np.ndarray

    @property
    def padding(self) -> int:
        """Samples that scipy's ``filtfilt`` adds at both ends."""
        return 3 * max(len(self.numerator), len(self.denominator))


def _filter(numerator: np.ndarray, denominator: np.ndarray) -> Filter:
    return Filter(numerator, denominator, scipy_signal.lfilter_zi(numerator, denominator))


@lru_cache(maxsize=64)
def notch(frequency_hz: float, quality: float, fs_hz: float) -> Filter:
    """Return a second-order notch (``scipy.signal.iirnotch``)."""
    return _filter(*scipy_signal.iirnotch(frequency_hz, quality, fs=fs_hz))


@lru_cache(maxsize=64)
def butterworth(order: int, edges_hz: tuple[float, ...], kind: str, fs_hz: float) -> Filter:
    """Return a Butterworth filter; ``kind`` is ``bandpass``, ``highpass`` or ``lowpass``."""
    edges = edges_hz[0] if len(edges_hz) == 1 else edges_hz
    return _filter(*scipy_signal.butter(order, edges, btype=kind, fs=fs_hz))


def zero_phase(signal: np.ndarray, chosen: Filter) -> np.ndarray:
    """Filter forwards and backwards along the last axis.

    Args:
        signal: float64 (..., T).
        chosen: see :func:`notch`, :func:`butterworth`.

    Returns:
        float64 of the same shape, equal to ``scipy.signal.filtfilt`` up to rounding.

    Raises:
        RecordError: the signal is not longer than the padding.
    """
    padding = chosen.padding
    _check_length(signal, padding)
    core = compiled_core()
    if core is not None:
        rows = signal.reshape(-1, signal.shape[-1])
        leads = np.require(rows, np.float64, ("C", "ALIGNED"))
        arrays = (chosen.numerator, chosen.denominator, chosen.initial_state)
        filtered = core.zero_phase(leads, *arrays, padding)
        if filtered is not None:
            return filtered.reshape(signal.shape)
    return zero_phase_by_scipy(signal, chosen)


def _check_length(signal: np.ndarray, padding: int) -> None:
    if signal.shape[-1] <= padding:
        raise RecordError(
            f"{signal.shape[-1]} samples are too few to filter; more than {padding} are needed"
        )


def _extended(signal: np.ndarray, padding: int) -> np.ndarray:
    """Return the signal continued at both ends by point reflection, ``padding`` samples each."""
    _check_length(signal, padding)
    before = 2 * signal[..., :1] - signal[..., padding:0:-1]
    after = 2 * signal[..., -1:] - signal[..., -2 : -padding - 2 : -1]
    return np.concatenate((before, signal, after), axis=-1)


def zero_phase_by_scipy(signal: np.ndarray, chosen: Filter) -> np.ndarray:
    """Filter forwards and backwards with scipy: the readable form of :func:`zero_phase`.

    Args:
        signal: float64 (..., T), longer than the filter's padding.
        chosen: any filter.

    Returns:
        float64 of the same shape.
    """
    padding = chosen.padding
    extended = _extended(signal, padding)
    for _ in range(2):
        state = chosen.initial_state * extended[..., :1]
        extended, _ = scipy_signal.lfilter(
            chosen.numerator, chosen.denominator, extended, axis=-1, zi=state
        )
        extended = extended[..., ::-1]
    return extended[..., padding:-padding]


@dataclass(frozen=True, eq=False)
class SectionFilter:
    """A linear filter as second-order sections (S, 6), and their steady start-up states (S, 2).

    A filter of low frequency and high order needs this form: the rounding of its transfer
    function's coefficients, which differs between processors and numpy builds, shows in the result.
    """

    sections: np.ndarray
    initial_state: np.ndarray

    @property
    def padding(self) -> int:
        """Samples that scipy's ``sosfiltfilt`` adds at both ends."""
        empty = min((self.sections[:, 2] == 0).sum(), (self.sections[:, 5] == 0).sum())
        return 3 * int(2 * len(self.sections) + 1 - empty)


@lru_cache(maxsize=64)
def butterworth_sections(
    order: int, edges_hz: tuple[float, ...], kind: str, fs_hz: float
) -> SectionFilter:
    """Return a Butterworth filter in sections; ``kind`` as for :func:`butterworth`."""
    edges = edges_hz[0] if len(edges_hz) == 1 else edges_hz
    sections = scipy_signal.butter(order, edges, btype=kind, fs=fs_hz, output="sos")
    return SectionFilter(sections, scipy_signal.sosfilt_zi(sections))


def zero_phase_in_sections(signal: np.ndarray, chosen: SectionFilter) -> np.ndarray:
    """Filter forwards and backwards along the last axis, as ``scipy.signal.sosfiltfilt`` does.

    Args:
        signal: float64 (..., T).
        chosen: see :func:`butterworth_sections`.

    Returns:
        float64 of the same shape.

    Raises:
        RecordError: the signal is not longer than the padding.
    """
    padding = chosen.padding
    extended = _extended(signal, padding)
    state = chosen.initial_state.reshape(-1, *(1,) * (signal.ndim - 1), 2)
    for _ in range(2):
        extended, _ = scipy_signal.sosfilt(
            chosen.sections, extended, axis=-1, zi=state * extended[..., :1]
        )
        extended = extended[..., ::-1]
    return extended[..., padding:-padding]
