"""Builds HeartLLM's autoencoder from settings and tensors, without fairseq."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor

from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.networks.encoders.checkpoint import load_exactly
from ecg_fairseq.networks.encoders.registry import (
    EncoderKind,
    NetworkKind,
    register_encoder,
    register_network,
)
from ecg_fairseq.networks.heartllm.config import MODEL, FsqAutoencoderConfig, config_of
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder

ENCODER_PREFIX = "enc."


def network_of(config: Any, tensors: Mapping[str, Tensor], what: str) -> FsqAutoencoder:
    """Build an autoencoder in evaluation mode.

    Args:
        config: settings, in any form that :func:`config_of` takes.
        tensors: name -> tensor, all of them.
        what: where they come from, for messages.

    Raises:
        EcgError: sizes that make no network.
        CheckpointError: tensors do not fit the sizes, or are not finite.
    """
    network = FsqAutoencoder(config_of(config))
    load_exactly(network, tensors, what)
    for name, tensor in network.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{name} of {what} holds numbers that are not finite")
    return network.eval().requires_grad_(False)


def _settings(model: Mapping[str, Any], path: str) -> FsqAutoencoderConfig:
    missing = [one.name for one in fields(FsqAutoencoderConfig) if one.name not in model]
    if missing:
        raise CheckpointError(f"{path} does not say {', '.join(missing)} of its {MODEL}")
    return config_of(model)


register_encoder(
    EncoderKind(
        MODEL,
        FsqAutoencoderConfig,
        FsqAutoencoder,
        tuple(one.name for one in fields(FsqAutoencoderConfig)),
    )
)
register_network(
    NetworkKind(MODEL, _settings, FsqAutoencoder, lambda config: (MODEL, config), dict)
)
