"""Saliency of a whole recording: its segments' maps joined, on the recording's own samples."""

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.integrated_gradients.baselines import NUM_BASELINES
from ecg_fairseq.networks.encoders.saliency import (
    attention_of,
    attention_rollout,
    frames_to_samples,
    gradient_times_input,
    integrated_gradients,
    largest_attention,
    received_attention,
)
from ecg_fairseq.networks.encoders.trained_encoder import TrainedEncoder
from ecg_fairseq.records.record import EcgRecord

# Method -> what it shows, for captions; see :func:`caption_of`.
METHODS = {
    "gradient": "gradient x input (orange for, blue against)",
    "integrated": "integrated gradients from {baselines} (orange for, blue against)",
    "attention": "attention received in the last layer, mean of heads and frames, 0 to 1",
    "rollout": "attention received through all layers (rollout), 0 to 1",
    "published-attention": "largest attention weight of the last layer (ECG-FM's figure), 0 to 1",
}
# These explain a label; attention is the same whatever label is asked about.
GRADIENT_METHODS = ("gradient", "integrated")
_OF_FRAMES = {
    "attention": received_attention,
    "rollout": attention_rollout,
    "published-attention": largest_attention,
}
# One frame of the network is 32 ms; its convolutions' gradients alternate from sample to sample.
SMOOTHING_S = 0.032
_CLIP_QUANTILE = 0.995


def record_saliency(
    system: TrainedEncoder,
    record: EcgRecord,
    method: str,
    label: int | None = None,
    baselines: torch.Tensor | None = None,
) -> np.ndarray:
    """Return what a network looked at.

    Args:
        system: a classifier for the gradient methods, any network for attention.
        record: a recording of any length and rate.
        method: a key of :data:`METHODS`.
        label: column of the logits, for the gradient methods.
        baselines: float32 (N, L, T), segments that ``integrated`` compares each segment with; None
            for the segment's own waves undone, see :mod:`baselines`.

    Returns:
        float64 (L, T) for the recording's own leads and samples; NaN for leads that the network
        does not read and behind the last whole segment. Attention is the same in all leads that are
        read, and is stretched from 0 to 1 in each segment, as in ECG-FM's figure.

    Raises:
        EcgError: unknown method, no label, or no classifier.
        RecordError: the recording does not fit the recipe.
    """
    segments = torch.from_numpy(system.segments(record)).to(system.device)
    maps = segment_saliency(system, segments, method, label, baselines)
    if method not in GRADIENT_METHODS:
        maps = _from_zero_to_one(maps)
    joined = maps.transpose(1, 0, 2).reshape(maps.shape[1], -1)
    if method in GRADIENT_METHODS:
        joined = smoothed(joined, SMOOTHING_S, system.recipe.strips[0].fs_hz)
    return _on_record(joined, system, record)


def caption_of(method: str, baselines: torch.Tensor | None = None) -> str:
    """Return what a map shows, in words; arguments as :func:`record_saliency`."""
    compared = f"{NUM_BASELINES} phase-shuffled copies"
    if baselines is not None:
        compared = f"{len(baselines)} training recordings"
    return METHODS[method].format(baselines=compared)


def segment_saliency(
    system: TrainedEncoder,
    segments: torch.Tensor,
    method: str,
    label: int | None,
    baselines: torch.Tensor | None = None,
) -> np.ndarray:
    """Return float64 (N, L, T) for segments (N, L, T); arguments as :func:`record_saliency`."""
    if method not in METHODS:
        raise EcgError(f"saliency {method!r} is not one of {', '.join(METHODS)}")
    if method in GRADIENT_METHODS:
        return _of_label(system, segments, method, label, baselines).double().cpu().numpy()
    encoder = system.trained.encoder
    attention = attention_of(encoder, segments)
    with torch.inference_mode():
        samples = frames_to_samples(_OF_FRAMES[method](attention), encoder, segments.shape[2])
    return samples.double().cpu().numpy()[:, None].repeat(segments.shape[1], axis=1)


def _of_label(
    system: TrainedEncoder,
    segments: torch.Tensor,
    method: str,
    label: int | None,
    baselines: torch.Tensor | None,
) -> torch.Tensor:
    """Return maps (N, L, T) that explain one label's logit."""
    network = system.classifier
    if label is None:
        raise EcgError(f"saliency {method} explains one label; say which")
    if method == "gradient":
        return gradient_times_input(network, segments, label)
    if baselines is not None:
        baselines = baselines[:, None]
    return integrated_gradients(network, segments, label, baseline=baselines)


def smoothed(maps: np.ndarray, seconds: float, fs_hz: float) -> np.ndarray:
    """Return the moving mean of maps (..., T) over a stretch; unchanged when it is no sample."""
    samples = round(seconds * fs_hz)
    return uniform_filter1d(maps, samples, axis=-1, mode="nearest") if samples > 1 else maps


def for_display(saliency: np.ndarray, method: str) -> np.ndarray:
    """Scale a map to what a colour scale shows.

    Gradients keep their sign and are divided by the 99.5 % quantile of their size: a few spikes
    would leave all else pale. Attention stays as it is.

    Args:
        saliency: (L, T) of :func:`record_saliency`.
        method: that made it.
    """
    if method not in GRADIENT_METHODS:
        return saliency
    largest = np.nanquantile(np.abs(saliency), _CLIP_QUANTILE)
    return np.clip(saliency / largest, -1.0, 1.0) if largest > 0 else saliency


def _from_zero_to_one(maps: np.ndarray) -> np.ndarray:
    """Scale each map of (N, L, T) to 0 ... 1; a flat one becomes 0."""
    low = maps.min(axis=(1, 2), keepdims=True)
    reach = maps.max(axis=(1, 2), keepdims=True) - low
    return (maps - low) / np.where(reach > 0, reach, 1.0)


def _on_record(joined: np.ndarray, system: TrainedEncoder, record: EcgRecord) -> np.ndarray:
    """Put values of the network's rows (L, N * T) at the recording's samples, to the nearest."""
    rate = system.recipe.strips[0].fs_hz
    place = np.rint(np.arange(record.num_samples) * (rate / record.fs_hz)).astype(np.int64)
    is_seen = place < joined.shape[1]
    values = np.full(record.signal.shape, np.nan)
    for row, lead in enumerate(system.signals.rows(system.recipe_leads)):
        if lead in record.leads:
            values[record.leads.index(lead), is_seen] = joined[row, place[is_seen]]
    return values
