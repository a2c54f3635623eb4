"""Builds ECG-FM networks from settings, and reads them from checkpoints, without fairseq.

Our checkpoints have fairseq's layout and hold tensors and plain values only; ``cfg.model`` names
the network and its settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.networks.ecg_fm.config import (
    EcgTransformerConfig,
    FinetuningConfig,
    Wav2Vec2Config,
)
from ecg_fairseq.networks.ecg_fm.encoder import EcgTransformer
from ecg_fairseq.networks.ecg_fm.wav2vec2 import EcgWav2Vec2
from ecg_fairseq.networks.encoders.heads import (
    EcgArcFace,
    EcgTransformerClassifier,
    FinetunedEcgTransformer,
)

# registered model name -> (network, settings)
NETWORKS: dict[str, tuple[type[nn.Module], type[EcgTransformerConfig]]] = {
    "ecg_transformer": (EcgTransformer, EcgTransformerConfig),
    "ecg_wav2vec2": (EcgWav2Vec2, Wav2Vec2Config),
    "wav2vec2_cmsc": (EcgWav2Vec2, Wav2Vec2Config),
    "ecg_transformer_classifier": (EcgTransformerClassifier, FinetuningConfig),
    "arcface": (EcgArcFace, FinetuningConfig),
}
# Settings that say which tensors an encoder has and how they are used; the rest is for training.
ARCHITECTURE = (
    "encoder_layers",
    "encoder_embed_dim",
    "encoder_ffn_embed_dim",
    "encoder_attention_heads",
    "layer_norm_first",
    "extractor_mode",
    "conv_feature_layers",
    "in_d",
    "conv_bias",
    "conv_pos",
    "conv_pos_groups",
    "padding_reaches_positions",
)
PRETRAINING_HEADS = (
    "quantizer.", "input_quantizer.", "project_q.", "project_inp.", "final_proj.", "target_glu.",
)  # fmt: skip


@dataclass(frozen=True)
class TrainedNetwork:
    """A network of a checkpoint.

    Attributes:
        name: of the registered model.
        network: in evaluation mode, on the CPU.
        config: its settings.
        task: settings of the task that it was trained with, as a plain dict.
    """

    name: str
    network: nn.Module
    config: EcgTransformerConfig
    task: dict[str, Any]

    @property
    def encoder(self) -> EcgTransformer:
        """The encoder, below whatever head."""
        network = self.network
        return network.encoder if isinstance(network, FinetunedEcgTransformer) else network


def config_of(name: str, values: Any) -> EcgTransformerConfig:
    """Return the settings of a network.

    Args:
        name: of the registered model.
        values: a mapping (fairseq's settings too) or an object with attributes; names that the
            network does not know are ignored.
    """
    kind = NETWORKS[name][1]
    values = values if isinstance(values, Mapping) else vars(values)
    known = {field.name for field in fields(kind)} & set(values)
    chosen = {key: values[key] for key in known}
    if "latent_temp" in chosen:
        chosen["latent_temp"] = [float(number) for number in chosen["latent_temp"]]
    return kind(**chosen)


def load_network(path: Path | str) -> TrainedNetwork:
    """Load a network of ours.

    Raises:
        CheckpointError: the file is damaged, of another system, or its tensors do not fit.
    """
    state = read_checkpoint_file(path)
    name, config = stored_config(state, path)
    network = NETWORKS[name][0](config)
    load_exactly(network, state["model"], str(path))
    return TrainedNetwork(name, network.eval(), config, dict(state["cfg"].get("task") or {}))


def stored_config(state: dict[str, Any], path: Path | str) -> tuple[str, EcgTransformerConfig]:
    """Return the name and settings of the network in one of our checkpoints.

    Raises:
        CheckpointError: it holds another system, or a fairseq-signals file.
    """
    model = (state.get("cfg") or {}).get("model") or {}
    name = model.get("_name")
    is_ours = name in NETWORKS and "padding_reaches_positions" in model
    if not is_ours:
        raise CheckpointError(
            f"{path} holds the model {name!r}, not an ECG-FM network of ours "
            f"({', '.join(NETWORKS)}); a fairseq-signals checkpoint goes through "
            "`ecg-fairseq convert --from fairseq-signals IN --out OUT` first"
        )
    return name, config_of(name, model)


def build_finetuned(
    network: type[FinetunedEcgTransformer], config: FinetuningConfig
) -> FinetunedEcgTransformer:
    """Build a network to be finetuned, with the weights of ``config.model_path`` in its encoder.

    The architecture is the checkpoint's; dropouts, masking and the head are the new settings'.

    Raises:
        EcgError: there is neither a checkpoint nor the wish to do without.
        CheckpointError: see :func:`load_network`.
    """
    if config.no_pretrained_weights:
        return network(config)
    if not config.model_path:
        raise EcgError(
            "model.model_path is not set: give a pretrained checkpoint, or "
            "model.no_pretrained_weights=true to train from random weights"
        )
    state = read_checkpoint_file(config.model_path)
    name, stored = stored_config(state, config.model_path)
    config = replace(config, **{key: getattr(stored, key) for key in ARCHITECTURE})
    built = network(config)
    is_finetuned = issubclass(NETWORKS[name][0], FinetunedEcgTransformer)
    tensors = _encoder_tensors(state["model"], is_finetuned)
    if config.apply_mask and "mask_emb" not in tensors:
        tensors["mask_emb"] = built.encoder.mask_emb.detach()
    if not config.apply_mask:
        tensors.pop("mask_emb", None)
    load_exactly(built.encoder, tensors, f"the encoder in {config.model_path}")
    return built


def _encoder_tensors(tensors: Mapping[str, Tensor], is_finetuned: bool) -> dict[str, Tensor]:
    """Return an encoder's tensors without the head."""
    if is_finetuned:
        return {
            key.removeprefix("encoder."): tensor
            for key, tensor in tensors.items()
            if key.startswith("encoder.")
        }
    return {key: value for key, value in tensors.items() if not key.startswith(PRETRAINING_HEADS)}


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
