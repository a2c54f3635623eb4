"""Builds networks that finetune any registered encoder, and their settings in full.

These are the networks of the fairseq models ``ecg_encoder_classifier`` and ``ecg_encoder_arcface``.
A checkpoint of them holds the full settings of its encoder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from torch import nn

from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.networks.encoders.checkpoint import (
    PretrainedEncoder,
    pretrained_encoder,
    tensors_below,
)
from ecg_fairseq.networks.encoders.classifier import (
    EncoderArcFace,
    EncoderClassifier,
    FinetunedEncoder,
    encoder_of,
)
from ecg_fairseq.networks.encoders.config import EncoderFinetuningConfig
from ecg_fairseq.networks.encoders.heads import HEADS, read_out
from ecg_fairseq.networks.encoders.registry import (
    NetworkKind,
    encoder_kind,
    register_network,
)

NETWORKS: dict[str, type[FinetunedEncoder]] = {
    "ecg_encoder_classifier": EncoderClassifier,
    "ecg_encoder_arcface": EncoderArcFace,
}


class BuiltFromSettings:
    """What the fairseq models of these networks share: how they are built from their settings."""

    @classmethod
    def build_model(cls, cfg: Any, task: Any) -> Any:
        """Build the network, with pretrained weights unless told otherwise."""
        return build_finetuned(cls, config_of(cfg))  # type: ignore[arg-type]

    @staticmethod
    def settings_for(cfg: Any, pretrained: PretrainedEncoder | None) -> dict[str, Any]:
        """Return the encoder's name and all its settings; see :func:`full_settings`."""
        return full_settings(config_of(cfg), pretrained)


def build_network(
    network: type[FinetunedEncoder], config: EncoderFinetuningConfig
) -> FinetunedEncoder:
    """Build a network with random weights.

    Raises:
        EcgError: the encoder or the head is unknown, or settings contradict each other.
    """
    if config.head not in HEADS:
        raise EcgError(f"model.head={config.head!r} is not one of {', '.join(HEADS)}")
    kind = encoder_kind(config.encoder)
    encoder = kind.build(kind.settings(config.encoder_settings or {}))
    width = encoder_of(encoder).width
    head = read_out(config.head, width, config.head_attention_heads, config.final_dropout)
    return network(encoder, head, config.num_labels, config.freeze_finetune_updates)


def build_finetuned(
    network: type[FinetunedEncoder], config: EncoderFinetuningConfig
) -> FinetunedEncoder:
    """Build a network to be finetuned, with the weights of ``config.model_path`` in its encoder.

    Raises:
        EcgError: there is neither a checkpoint nor the wish to do without.
        CheckpointError: the checkpoint holds no encoder, or another one than asked for.
    """
    if config.no_pretrained_weights:
        return build_network(network, config)
    pretrained = pretrained_encoder_at(config.model_path)
    built = build_network(network, replace(config, **full_settings(config, pretrained)))
    pretrained.load_into(built.encoder)
    return built


def pretrained_encoder_at(path: str | None) -> PretrainedEncoder:
    """Read the encoder of ``model.model_path``.

    Raises:
        EcgError: no path is set.
        CheckpointError: the file is damaged or holds no encoder.
    """
    if not path:
        raise EcgError(
            "model.model_path is not set: give a pretrained checkpoint, or "
            "model.no_pretrained_weights=true to train from random weights"
        )
    return pretrained_encoder(read_checkpoint_file(path), path)


def full_settings(
    config: EncoderFinetuningConfig, pretrained: PretrainedEncoder | None
) -> dict[str, Any]:
    """Return the encoder's name and all its settings, so that a checkpoint holds them.

    Args:
        config: what is set there and is no matter of architecture (dropout) stays.
        pretrained: the encoder to start from, which imposes its architecture; None for random
            weights.

    Raises:
        EcgError: no encoder is named, or settings contradict each other.
        CheckpointError: another encoder was asked for.
    """
    name, given = config.encoder, dict(config.encoder_settings or {})
    if pretrained is not None:
        name = name or pretrained.kind.name
        if name != pretrained.kind.name:
            raise CheckpointError(
                f"{pretrained.path} holds an encoder {pretrained.kind.name}, but model.encoder="
                f"{name}; leave model.encoder empty or give a checkpoint of that encoder"
            )
        given |= pretrained.architecture
    return {"encoder": name, "encoder_settings": asdict(encoder_kind(name).settings(given))}


def config_of(values: Any, path: str = "") -> EncoderFinetuningConfig:
    """Return the settings of a network.

    Args:
        values: fairseq's settings or those of a checkpoint, a mapping or an object with attributes;
            names that the network does not know are ignored.
        path: of the checkpoint; not needed.
    """
    values = values if isinstance(values, Mapping) else vars(values)
    known = {one.name for one in fields(EncoderFinetuningConfig)} & set(values)
    chosen = {name: values[name] for name in known}
    chosen["encoder_settings"] = _plain(chosen.get("encoder_settings") or {})
    return EncoderFinetuningConfig(**chosen)


def _plain(value: Any) -> Any:
    """Return omegaconf's containers as dicts and lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return [_plain(inner) for inner in value] if is_list else value


def _encoder_in(config: EncoderFinetuningConfig) -> tuple[str, Any]:
    return config.encoder, encoder_kind(config.encoder).settings(config.encoder_settings or {})


def _builder(network: type[FinetunedEncoder]) -> Any:
    def build(config: EncoderFinetuningConfig) -> nn.Module:
        return build_network(network, config)

    return build


for _name, _network in NETWORKS.items():
    register_network(NetworkKind(_name, config_of, _builder(_network), _encoder_in, tensors_below))
