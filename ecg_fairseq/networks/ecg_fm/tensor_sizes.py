"""What the tensors of a fairseq-signals checkpoint say about its architecture.

A finetuned file of fairseq-signals stores the finetuning run's settings, which need not be those of
the encoder inside (fact sheet section 3.4), so sizes are read from the tensors themselves.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.networks.ecg_fm.convolutions import parse_conv_layers

_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")
_CONV = re.compile(r"feature_extractor\.conv_layers\.(\d+)\.0\.weight")
_HEAD_WIDTH = 64


def guess_model(keys: set[str]) -> str | None:
    """Return fairseq-signals' name of the model with these tensors, None for another system's."""
    if "kernel" in keys:
        return "arcface"
    if "proj.weight" in keys and any(key.startswith("encoder.encoder.") for key in keys):
        return "ecg_transformer_classifier"
    if not any(key.startswith("conv_pos.") for key in keys):
        return None
    return "wav2vec2_cmsc" if "final_proj.weight" in keys else "ecg_transformer"


def sizes_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the settings that tensors determine.

    Args:
        tensors: with parametrised key names; a head's ``encoder.`` prefix is understood.

    Raises:
        CheckpointError: the file lacks the tensors of an ECG Transformer.
    """
    has_head = "proj.weight" in tensors or "kernel" in tensors
    prefix = "encoder." if has_head else ""
    inner = {
        key.removeprefix(prefix): tensor
        for key, tensor in tensors.items()
        if key.startswith(prefix)
    }
    try:
        sizes = _encoder_sizes(inner)
        if has_head:
            head = "proj.weight" if "proj.weight" in tensors else "kernel"
            sizes["num_labels"] = tensors[head].shape[0]
        if "final_proj.weight" in tensors:
            sizes |= _contrastive_sizes(tensors)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as cause:
        groups = sorted({key.split(".")[0] for key in tensors})
        raise CheckpointError(
            "the file lacks tensors that every ECG Transformer of fairseq-signals has (first: "
            f"{cause}); its tensors belong to {', '.join(groups[:12])}"
        ) from cause
    sizes["apply_mask"] = "mask_emb" in inner
    return sizes


def _encoder_sizes(inner: Mapping[str, Tensor]) -> dict[str, Any]:
    direction = inner["conv_pos.pos_conv.0.parametrizations.weight.original1"]
    convolutions = [int(m[1]) for key in inner if (m := _CONV.fullmatch(key))]
    kernels = [
        tuple(inner[f"feature_extractor.conv_layers.{index}.0.weight"].shape)
        for index in range(max(convolutions) + 1)
    ]
    return {
        "encoder_layers": max(int(m[1]) for key in inner if (m := _LAYER.match(key))) + 1,
        "encoder_embed_dim": inner["encoder.layer_norm.weight"].shape[0],
        "encoder_ffn_embed_dim": inner["encoder.layers.0.fc1.weight"].shape[0],
        "in_d": kernels[0][1],
        "conv_bias": "feature_extractor.conv_layers.0.0.bias" in inner,
        "conv_pos": direction.shape[2],
        "conv_pos_groups": direction.shape[0] // direction.shape[1],
        "convolutions": [(channels, kernel) for channels, _, kernel in kernels],
    }


def _contrastive_sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    sizes: dict[str, Any] = {
        "final_dim": tensors["final_proj.weight"].shape[0],
        "quantize_targets": "quantizer.vars" in tensors,
        "target_glu": "target_glu.0.weight" in tensors,
        "quantize_input": "project_inp.weight" in tensors,
    }
    if sizes["quantize_targets"]:
        _, num_vectors, width = tensors["quantizer.vars"].shape
        sizes["latent_groups"] = tensors["project_q.weight"].shape[1] // width
        sizes["latent_vars"] = num_vectors // sizes["latent_groups"]
        quantized = tensors["project_q.weight"].shape[1]
        # 0 means final_dim; only another width has to be written down.
        sizes["latent_dim"] = 0 if quantized == sizes["final_dim"] else quantized
    return sizes


def reconcile(values: dict[str, Any], sizes: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Let the tensors overrule the stored settings.

    Args:
        values: stored settings.
        sizes: of :func:`sizes_of`.

    Returns:
        the settings to build with, and one sentence for each that differed.

    Raises:
        CheckpointError: the convolutions differ, so their strides cannot be known.
    """
    sizes = dict(sizes)
    convolutions = sizes.pop("convolutions")
    stored = [
        (channels, kernel)
        for channels, kernel, _ in parse_conv_layers(str(values["conv_feature_layers"]))
    ]
    if stored != convolutions:
        raise CheckpointError(
            f"the stored settings say conv_feature_layers={values['conv_feature_layers']}, but the "
            f"tensors are convolutions of (channels, kernel) {convolutions}; their strides are not "
            "stored, so the file cannot be used"
        )
    notes = []
    # A width of 0 is a stand-in for another one, so both spellings of latent_dim are right.
    if values.get("latent_dim") == values.get("final_dim") and sizes.get("latent_dim") == 0:
        sizes.pop("latent_dim")
    for name, found in sizes.items():
        if values.get(name, found) != found:
            notes.append(f"the settings say {name}={values[name]}, the tensors {found}: used")
    if values.get("encoder_embed_dim") != sizes["encoder_embed_dim"]:
        heads = max(sizes["encoder_embed_dim"] // _HEAD_WIDTH, 1)
        notes.append(
            f"the number of heads is not in the tensors: {heads} of width {_HEAD_WIDTH} assumed, "
            f"as in all published sizes (the settings say {values.get('encoder_attention_heads')})"
        )
        sizes["encoder_attention_heads"] = heads
    return {**values, **sizes}, notes
