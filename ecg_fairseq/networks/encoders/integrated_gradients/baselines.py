"""What integrated gradients compare a signal with: signals like it that say nothing of a label.

A flat line is no such signal. The first norm of most ECG encoders divides by the spread over time,
so on the way from a flat line to a signal the network sees the signal itself at once, and the
gradient is that of the signal times a factor.

A checkpoint has no other recordings, so by default a signal is compared with copies of itself whose
phases are drawn anew (surrogates of Theiler et al., Physica D 58, 1992): each lead keeps its mean,
its spread and its spectrum, and leads go together as before, since all get the same phases; but
there are no beats, waves or intervals any more. Recordings that a network was trained on are the
other choice.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.trained_encoder import TrainedEncoder
from ecg_fairseq.records.segments.segment_list import SegmentList

NUM_BASELINES = 8
_SEED = 1


def phase_shuffled(
    signal: Tensor, count: int = NUM_BASELINES, seed: int = _SEED, padding: Tensor | None = None
) -> Tensor:
    """Return copies of signals without their waves: same spectrum of each lead, other phases.

    Args:
        signal: (B, L, T).
        count: N copies.
        seed: of the phases; a copy has the same ones in all leads and rows of equal length.
        padding: bool (B, T) or (B, L, T), True where padded at the end of a row, which stays as it
            is; or None.

    Returns:
        (N, B, L, T) of the signal's type.
    """
    copies = signal.expand(count, *signal.shape).clone()
    if padding is None:
        copies[:] = _with_phases(signal, count, seed)
        return copies
    is_signal = ~(padding[:, 0] if padding.dim() == 3 else padding)
    for row, length in enumerate(is_signal.sum(1).tolist()):
        copies[:, row, :, :length] = _with_phases(signal[row, :, :length], count, seed)
    return copies


def _with_phases(signal: Tensor, count: int, seed: int) -> Tensor:
    """Return copies (N, ..., T) of signals (..., T); the mean's sign and Nyquist's stay."""
    num_samples = signal.shape[-1]
    spectrum = torch.fft.rfft(signal.double())
    turns = np.random.default_rng(seed).random((count, spectrum.shape[-1]))
    turns[:, 0] = 0.0
    if num_samples % 2 == 0:
        turns[:, -1] = 0.0
    phases = torch.from_numpy(turns * (2 * math.pi)).to(spectrum.device)
    factors = torch.polar(torch.ones_like(phases), phases)
    factors = factors.reshape(count, *([1] * (signal.dim() - 1)), -1)
    return torch.fft.irfft(spectrum * factors, n=num_samples).to(signal.dtype)


def training_segments(
    system: TrainedEncoder, segments: SegmentList, count: int = NUM_BASELINES, seed: int = _SEED
) -> Tensor:
    """Return segments of a training list, each of another recording.

    Args:
        system: says which leads are read.
        segments: of the network's recipe.
        count: N; fewer where there are fewer recordings with segments of the recipe's length.
        seed: of the choice.

    Returns:
        float32 (N, L, T) on the network's device.

    Raises:
        EcgError: the list has no such segment.
    """
    num_samples = system.recipe.strips[0].num_samples
    found: dict[int, np.ndarray] = {}
    for index in np.random.default_rng(seed).permutation(len(segments)).tolist():
        if len(found) == count:
            break
        if segments.sizes[index] == num_samples and segments.idx_of(index) not in found:
            one = segments.read(index)
            found[one.idx] = system.signals.chosen(one.signal[None], one.leads)
    if not found:
        raise EcgError(
            f"{segments.path} lists no segment of {num_samples} samples to compare a recording with"
        )
    return torch.from_numpy(np.concatenate(list(found.values()))).to(system.device)
