"""Which leads, samples and frames a finetuned network looked at.

Gradients explain a logit, per lead and sample. Attention only says where frames looked, whatever
for: :func:`received_attention` in the last layer, :func:`attention_rollout` through all of them.
ECG-FM's figure shows :func:`largest_attention`, which says how sharply each frame looks and not
where.
"""

import logging

import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.classifier import FinetunedEncoder
from ecg_fairseq.networks.encoders.encoder import AttentiveEncoder, Encoder
from ecg_fairseq.networks.encoders.integrated_gradients.baselines import phase_shuffled
from ecg_fairseq.networks.encoders.integrated_gradients.quadrature import (
    MOST_POINTS,
    TOLERANCE,
    Explained,
    fixed_integral,
    whole_integral,
)

logger = logging.getLogger(__name__)


def gradient_times_input(
    network: FinetunedEncoder,
    source: Tensor,
    label: int,
    padding_mask: Tensor | None = None,
) -> Tensor:
    """Return gradient times signal of one label's logit.

    Args:
        network: in evaluation mode.
        source: (B, L, T), z-scored.
        label: column of the logits.
        padding_mask: bool (B, T) or (B, L, T), True where padded, or None.

    Returns:
        (B, L, T); the sign says for or against the label.

    Raises:
        EcgError: no such label, or the network is in training mode.
    """
    _check(network, label)
    return _gradient(network, source, label, padding_mask) * source


def integrated_gradients(
    network: FinetunedEncoder,
    source: Tensor,
    label: int,
    num_steps: int | None = None,
    baseline: Tensor | None = None,
    padding_mask: Tensor | None = None,
) -> Tensor:
    """Return integrated gradients (Sundararajan et al., arXiv 1703.01365) of one label's logit.

    Their sum over leads and samples is the logit of the signal less the mean logit of the
    baselines, up to the error of the quadrature (Gauss-Legendre) that stands for the integral.

    Args:
        network: in evaluation mode.
        source: (B, L, T), z-scored.
        label: column of the logits.
        num_steps: points on the way from each baseline to the signal; None for as many as it
            takes until the sum is right within :data:`quadrature.TOLERANCE`, with a warning where
            :data:`quadrature.MOST_POINTS` do not suffice.
        baseline: (B, L, T) or broadcastable to it, or several of them, (N, B, L, T), whose
            attributions are averaged; None for :func:`baselines.phase_shuffled` of the source.
        padding_mask: bool (B, T) or (B, L, T), True where padded, or None.

    Returns:
        (B, L, T).

    Raises:
        EcgError: as :func:`gradient_times_input`.
    """
    if num_steps is not None and num_steps < 1:
        raise EcgError(f"num_steps={num_steps} must be at least 1")
    _check(network, label)
    if baseline is None:
        baseline = phase_shuffled(source, padding=padding_mask)
    baselines = baseline if baseline.dim() == 4 else baseline.expand_as(source)[None]
    baselines = baselines.expand(-1, *source.shape)
    maps, num_incomplete = [], 0
    for row, signal in enumerate(source):
        padding = None if padding_mask is None else padding_mask[row]
        explained = _explained(network, label, padding)
        if num_steps is not None:
            maps.append(fixed_integral(explained, signal, baselines[:, row], num_steps))
            continue
        found, is_right = whole_integral(explained, signal, baselines[:, row])
        maps.append(found)
        num_incomplete += not is_right
    if num_incomplete:
        logger.warning(
            f"integrated gradients of {num_incomplete} of {len(source)} segments do not add up to "
            f"the change of the logit within {TOLERANCE:.1%} after {MOST_POINTS} points a baseline"
        )
    return torch.stack(maps)


def _explained(network: FinetunedEncoder, label: int, padding: Tensor | None) -> Explained:
    """Return one label's logit as a function of signals (P, L, T) with the same padding."""

    def padding_of(signals: Tensor) -> Tensor | None:
        return None if padding is None else padding.expand(len(signals), *padding.shape)

    def values(signals: Tensor) -> Tensor:
        with torch.no_grad():
            return network(signals, padding_of(signals)).logits[:, label]

    return Explained(values, lambda one: _gradient(network, one, label, padding_of(one)))


def attention_rollout(attention: Tensor) -> Tensor:
    """Return how much of each frame reaches the output (Abnar & Zuidema, arXiv 2005.00928).

    Args:
        attention: (B, layers, F, F), averaged over heads.

    Returns:
        (B, F), summing to 1: mean over output frames of attention followed through all layers, half
        of each step staying where it is (the residual connection).
    """
    num_frames = attention.shape[-1]
    identity = torch.eye(num_frames, dtype=attention.dtype, device=attention.device)
    flow = identity.expand(attention.shape[0], -1, -1)
    for layer in range(attention.shape[1]):
        flow = (attention[:, layer] + identity) / 2 @ flow
    return flow.mean(1)


def received_attention(attention: Tensor) -> Tensor:
    """Return how much attention each frame receives in the last layer (B, F), summing to 1.

    Args:
        attention: (B, layers, F, F), averaged over heads; the last axis is that of the frames
            looked at.

    Returns:
        The mean over the frames that look.
    """
    return attention[:, -1].mean(-2)


def largest_attention(attention: Tensor) -> Tensor:
    """Return ECG-FM's attention saliency (B, F): of the last layer, each frame's largest weight.

    It stands at the frame that looks, not at the one looked at.

    Args:
        attention: (B, layers, F, F), averaged over heads.
    """
    return attention[:, -1].amax(-1)


def attention_of(encoder: Encoder, signal: Tensor) -> Tensor:
    """Return an encoder's attention (B, layers, F, F), averaged over heads.

    Raises:
        EcgError: the encoder offers none.
    """
    if not isinstance(encoder, AttentiveEncoder):
        raise EcgError(
            f"the encoder ({type(encoder).__name__}) has no attention to show; explain a "
            "classifier's label with saliency gradient or integrated"
        )
    with torch.inference_mode():
        return encoder.attention(signal)


def frames_to_samples(values: Tensor, encoder: Encoder, num_samples: int) -> Tensor:
    """Stretch values of frames to samples, linearly between the middles of what frames see.

    Args:
        values: (B, F).
        encoder: its ``frame_step`` and ``min_samples`` say which samples a frame sees; without the
            first, frames are spread evenly.
        num_samples: T.

    Returns:
        (B, T); before the first and behind the last middle the value stays.
    """
    step = getattr(encoder, "frame_step", None)
    middle = (encoder.min_samples - 1) / 2
    if step is None:
        step = num_samples / values.shape[1]
        middle = (step - 1) / 2
    place = (torch.arange(num_samples, device=values.device) - middle) / step
    place = place.clamp(0, values.shape[1] - 1)
    left = place.floor().long()
    right = (left + 1).clamp_max(values.shape[1] - 1)
    return torch.lerp(values[:, left], values[:, right], (place - left).to(values.dtype))


def _gradient(
    network: FinetunedEncoder, source: Tensor, label: int, padding_mask: Tensor | None
) -> Tensor:
    """Return the gradient (B, L, T) of one label's logit; parameters' gradients stay untouched."""
    with torch.enable_grad():
        leaf = source.detach().clone().requires_grad_()
        logit = network(leaf, padding_mask).logits[:, label].sum()
        (gradient,) = torch.autograd.grad(logit, leaf)
    return gradient


def _check(network: FinetunedEncoder, label: int) -> None:
    if network.training:
        raise EcgError("saliency needs network.eval(): dropout would make it random")
    if not 0 <= label < network.num_labels:
        raise EcgError(
            f"label {label} is not one of the network's {network.num_labels}, 0 the first"
        )
