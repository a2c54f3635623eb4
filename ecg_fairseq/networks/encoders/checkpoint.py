"""Networks and encoders out of checkpoints that were read, by the registry's names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.networks.checkpoint_file import model_settings
from ecg_fairseq.networks.encoders.classifier import encoder_of
from ecg_fairseq.networks.encoders.encoder import Encoder
from ecg_fairseq.networks.encoders.registry import EncoderKind, encoder_kind, network_kind


@dataclass(frozen=True)
class TrainedNetwork:
    """A network of a checkpoint.

    Attributes:
        name: of the registered model, or of the encoder where there is no more.
        network: in evaluation mode.
        config: its settings.
        task: settings of the task that it was trained with, as a plain dict.
        encoder_name: of the encoder in it, as the registry knows it.
        encoder_config: settings of that encoder.
    """

    name: str
    network: nn.Module
    config: Any
    task: dict[str, Any]
    encoder_name: str
    encoder_config: Any

    @property
    def encoder(self) -> Encoder:
        """The encoder, below whatever head."""
        return encoder_of(self.network)

    @property
    def encoder_kind(self) -> EncoderKind:
        """How such encoders are built."""
        return encoder_kind(self.encoder_name)


@dataclass(frozen=True)
class PretrainedEncoder:
    """The encoder of a checkpoint, to be finetuned.

    Attributes:
        path: of the checkpoint.
        kind: how such encoders are built.
        config: its settings.
        tensors: its tensors, under its own names.
    """

    path: str
    kind: EncoderKind
    config: Any
    tensors: Mapping[str, Tensor]

    @property
    def architecture(self) -> dict[str, Any]:
        """The settings that its tensors impose."""
        return {name: getattr(self.config, name) for name in self.kind.architecture}

    def load_into(self, encoder: nn.Module) -> None:
        """Put the tensors into an encoder of the same architecture.

        Raises:
            CheckpointError: tensors are missing, left over or of another shape.
        """
        (self.kind.load or load_exactly)(encoder, self.tensors, f"the encoder in {self.path}")


def network_of_state(state: Mapping[str, Any], path: str) -> TrainedNetwork:
    """Build the network of a checkpoint that was read, in evaluation mode.

    Args:
        state: what :func:`read_checkpoint_file` gave.
        path: of the file, for messages.

    Raises:
        CheckpointError: it is of another system, or its tensors do not fit.
    """
    kind, config = _stored(state, path)
    network = kind.build(config)
    load_exactly(network, state["model"], path)
    task = dict(state["cfg"].get("task") or {})
    return TrainedNetwork(kind.name, network.eval(), config, task, *kind.encoder(config))


def pretrained_encoder(state: Mapping[str, Any], path: str) -> PretrainedEncoder:
    """Return the encoder of a checkpoint that was read; errors as :func:`network_of_state`."""
    kind, config = _stored(state, path)
    name, encoder_config = kind.encoder(config)
    return PretrainedEncoder(
        path, encoder_kind(name), encoder_config, kind.encoder_tensors(state["model"])
    )


def _stored(state: Mapping[str, Any], path: str) -> tuple[Any, Any]:
    settings = model_settings(state)
    kind = network_kind(settings.get("_name"), path)
    return kind, kind.settings(settings, path)


def tensors_below(tensors: Mapping[str, Tensor], prefix: str = "encoder.") -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def load_exactly(network: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Load tensors; nothing may be missing, left over or of another shape.

    Args:
        network: gets the tensors.
        tensors: name -> tensor.
        what: where they come from, for the message.

    Raises:
        CheckpointError: names what differs.
    """
    own = network.state_dict()
    missing, unexpected = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    wrong = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in tensors and tensors[key].shape != own[key].shape
    ]
    if missing or unexpected or wrong:
        raise CheckpointError(
            f"{what} does not fit the network: {len(missing)} tensors are missing {missing[:3]}, "
            f"{len(unexpected)} are unexpected {unexpected[:3]}, {len(wrong)} have another shape "
            f"{wrong[:3]}; check the model's size settings"
        )
    network.load_state_dict(dict(tensors))
