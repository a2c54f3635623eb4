"""Builds ECG-FM networks from settings, and reads them from checkpoints, without fairseq.

Our checkpoints have fairseq's layout and hold tensors and plain values only; ``cfg.model`` names
the network and its settings.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.networks.checkpoint_file import model_settings, read_checkpoint_file
from ecg_fairseq.networks.ecg_fm.config import (
    EcgTransformerConfig,
    FinetuningConfig,
    Wav2Vec2Config,
)
from ecg_fairseq.networks.ecg_fm.finetuned import (
    EcgArcFace,
    EcgTransformerClassifier,
    FinetunedEcgTransformer,
)
from ecg_fairseq.networks.ecg_fm.network import EcgTransformer
from ecg_fairseq.networks.ecg_fm.wav2vec2 import EcgWav2Vec2
from ecg_fairseq.networks.encoders.checkpoint import (
    PretrainedEncoder,
    TrainedNetwork,
    load_exactly,
    network_of_state,
    tensors_below,
)
from ecg_fairseq.networks.encoders.finetuning import pretrained_encoder_at
from ecg_fairseq.networks.encoders.registry import (
    EncoderKind,
    NetworkKind,
    register_encoder,
    register_network,
)

ENCODER = "ecg_transformer"
# registered model name -> (network, settings)
NETWORKS: dict[str, tuple[Callable[[Any], nn.Module], type[EcgTransformerConfig]]] = {
    ENCODER: (EcgTransformer, EcgTransformerConfig),
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
    stored_config(state, path)
    return network_of_state(state, str(path))


def stored_config(state: dict[str, Any], path: Path | str) -> tuple[str, EcgTransformerConfig]:
    """Return the name and settings of the network in one of our checkpoints.

    Raises:
        CheckpointError: it holds another system, or a fairseq-signals file.
    """
    model = model_settings(state)
    name = str(model.get("_name"))
    return name, _settings_of(name)(model, str(path))


def build_finetuned(
    network: Callable[[FinetuningConfig], FinetunedEcgTransformer], config: FinetuningConfig
) -> FinetunedEcgTransformer:
    """Build a network to be finetuned, with the weights of ``config.model_path`` in its encoder.

    The architecture is the checkpoint's; dropouts, masking and the head are the new settings'.

    Raises:
        EcgError: there is neither a checkpoint nor the wish to do without.
        CheckpointError: the checkpoint is damaged or holds another encoder.
    """
    if config.no_pretrained_weights:
        return network(config)
    pretrained = pretrained_encoder_at(config.model_path)
    built = network(replace(config, **adopted(pretrained)))
    pretrained.load_into(built.encoder)
    return built


def adopted(pretrained: PretrainedEncoder) -> dict[str, Any]:
    """Return the settings that a pretrained encoder imposes on a network to be finetuned.

    Raises:
        CheckpointError: it is not ECG-FM's.
    """
    if pretrained.kind.name != ENCODER:
        raise CheckpointError(
            f"{pretrained.path} holds an encoder {pretrained.kind.name}, not ECG-FM's; finetune it "
            "with model._name=ecg_encoder_classifier or ecg_encoder_arcface"
        )
    return pretrained.architecture


def _load_encoder(encoder: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Load an encoder's tensors; the vector for hidden frames is kept where it is used.

    Raises:
        CheckpointError: see :func:`load_exactly`.
    """
    wanted = dict(tensors)
    own = encoder.state_dict()
    if "mask_emb" not in own:
        wanted.pop("mask_emb", None)
    elif "mask_emb" not in wanted:
        wanted["mask_emb"] = own["mask_emb"]
    load_exactly(encoder, wanted, what)


def _without_pretraining_heads(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if not key.startswith(PRETRAINING_HEADS)}


def _encoder_in(config: EcgTransformerConfig) -> tuple[str, EcgTransformerConfig]:
    """Return name and settings of the encoder in a network; nothing is hidden when it is read."""
    values = {one.name: getattr(config, one.name) for one in fields(EcgTransformerConfig)}
    return ENCODER, EcgTransformerConfig(**{**values, "apply_mask": False})


def _settings_of(name: str) -> Callable[[Mapping[str, Any], str], EcgTransformerConfig]:
    def settings(model: Mapping[str, Any], path: str) -> EcgTransformerConfig:
        # fairseq-signals' files have our names but other spellings of tensors.
        if name not in NETWORKS or "padding_reaches_positions" not in model:
            raise CheckpointError(
                f"{path} holds the model {model.get('_name')!r}, not an ECG-FM network of ours "
                f"({', '.join(NETWORKS)}); a fairseq-signals checkpoint goes through "
                "`ecg-fairseq convert --from fairseq-signals IN --out OUT` first"
            )
        return config_of(name, model)

    return settings


register_encoder(
    EncoderKind(
        ENCODER, EcgTransformerConfig, EcgTransformer, ARCHITECTURE, _load_encoder, pooling="mean"
    )
)
for _name, (_network, _) in NETWORKS.items():
    _is_finetuned = _network in (EcgTransformerClassifier, EcgArcFace)
    register_network(
        NetworkKind(
            _name,
            _settings_of(_name),
            _network,
            _encoder_in,
            tensors_below if _is_finetuned else _without_pretraining_heads,
        )
    )
