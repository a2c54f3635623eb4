"""ECG-FM's networks and losses against recorded tensors of fairseq-signals.

A folder holds ``config.json``, weights (``state_dict.safetensors`` and, for a finetuned network,
``classifier_state_dict.safetensors``), ``input.npz`` and ``outputs.npz``; any architecture.
"""

import math
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecg_fairseq.evaluation.labels.auroc import label_scores
from ecg_fairseq.networks.ecg_fm import losses
from ecg_fairseq.networks.ecg_fm.checkpoint import NETWORKS, config_of
from ecg_fairseq.networks.ecg_fm.convert import MODEL_NAMES
from ecg_fairseq.networks.ecg_fm.network import EcgTransformer
from ecg_fairseq.networks.ecg_fm.wav2vec2 import ContrastiveOutput
from ecg_fairseq.networks.layers import classification_losses, contrastive_losses
from parity_systems.check import Check
from parity_systems.ecg_fm_gradients import Losses, gradient_checks, is_gradient
from parity_systems.recorded import read_recorded, tolerance_of

TOLERANCE = 1e-5
LOGIT_TOLERANCE = 1e-4
RELATIVE_TOLERANCE = 1e-5
DEFAULT_TEMPERATURE = 0.1  # of fairseq-signals' contrastive criterions
_SCALARS_ARE_RELATIVE = ("loss", "perplexity", "features_pen")
# Recorded beside the outputs, but inputs of the losses.
_INPUTS = {"clf_label", "clf_pos_weight"}


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield the comparisons of a folder with ``config.json`` and ``outputs.npz``."""
    if not (case_dir / "outputs.npz").is_file() or not (case_dir / "config.json").is_file():
        return
    config = read_recorded(case_dir / "config.json")
    inputs, recorded = _load(case_dir / "input.npz"), _load(case_dir / "outputs.npz")
    ours: dict[str, Any] = {}
    networks: dict[str, tuple[nn.Module, Losses]] = {}
    weights = case_dir / "state_dict.safetensors"
    if weights.is_file():
        network, num_parameters = _network(config["model"], weights)
        yield from _count_checks("n_params", num_parameters, config)
        outputs = partial(_pretraining_outputs, network, inputs, config)
        networks["pretraining"] = network, outputs
        ours |= _without_gradients(outputs)
    weights = case_dir / "classifier_state_dict.safetensors"
    if weights.is_file():
        network, num_parameters = _network(config["classifier"]["model"], weights)
        yield from _count_checks("clf_n_params", num_parameters, config["classifier"])
        outputs = partial(_classifier_outputs, network, inputs, recorded)
        networks["classifier"] = network, outputs
        ours |= _without_gradients(outputs)
    for name in recorded:
        if name in ours:
            yield _check(name, ours[name], recorded[name])
        elif name not in _INPUTS and not is_gradient(name):
            print(f"parity: {name} is recorded but has no counterpart here", file=sys.stderr)
    yield from gradient_checks(case_dir, recorded, networks)
    yield from _logged_checks("joint", ours, config.get("joint_logging_output", {}))
    yield from _logged_checks("bce", ours, config.get("bce_reduced_metrics", {}))


def _count_checks(name: str, ours: int, settings: dict[str, Any]) -> Iterator[Check]:
    if "n_params" in settings:
        yield Check(name, abs(ours - settings["n_params"]), 0)


def _without_gradients(outputs: Losses) -> dict[str, Any]:
    with torch.no_grad():
        return dict(outputs())


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _network(settings: dict[str, Any], weights: Path) -> tuple[nn.Module, int]:
    """Build a network of recorded settings, in evaluation mode, and count its parameters."""
    from safetensors.torch import load_file

    name = MODEL_NAMES[settings["_name"]]
    # fairseq-signals lets padded frames reach the position convolution.
    config = config_of(name, {**settings, "padding_reaches_positions": True})
    network = NETWORKS[name][0](config).eval()
    network.load_state_dict(load_file(weights))
    return network, sum(parameter.numel() for parameter in network.parameters())


def _pretraining_outputs(
    network: EcgTransformer, inputs: dict[str, np.ndarray], config: dict[str, Any]
) -> dict[str, Any]:
    outputs = _encoder_outputs(network, inputs)
    outputs |= _contrastive_outputs(network, inputs, config)
    temperature = config["criterion"].get("temp", DEFAULT_TEMPERATURE)
    return outputs | _embedding_losses(outputs["cmsc_input_unmasked"], inputs, float(temperature))


def _encoder_outputs(network: EcgTransformer, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Run the encoder stage by stage, without masking."""
    source = torch.from_numpy(inputs["source"])
    encoded = network.encode(source)
    frames = encoded.local_features
    if network.post_extract_proj is not None:
        frames = network.post_extract_proj(frames)
    outputs = {
        "conv_features": network.feature_extractor(source),
        "features_pen": encoded.features_penalty,
        "local_features_layer_norm": encoded.local_features,
        "post_extract_proj": frames,
        "conv_pos": network.conv_pos(frames),
        "context_unmasked": encoded.frames,
        "cmsc_input_unmasked": encoded.pooled,
    }
    if "padded_source" in inputs:
        padding_mask = torch.from_numpy(inputs["padded_padding_mask"])
        padded = network.encode(torch.from_numpy(inputs["padded_source"]), padding_mask)
        is_padded = padded.padding
        if is_padded is None:
            is_padded = torch.zeros(padded.frames.shape[:2], dtype=torch.bool)
        outputs["padded_context"] = padded.frames
        outputs["padded_padding_mask"] = is_padded
        outputs["padded_aggregated"] = padded.pooled
    return outputs


def _contrastive_outputs(
    network: nn.Module, inputs: dict[str, np.ndarray], config: dict[str, Any]
) -> dict[str, Any]:
    """Run pretraining with the recorded mask and negatives."""
    if "mask_indices" not in inputs or not hasattr(network, "final_proj"):
        return {}
    mask = torch.from_numpy(inputs["mask_indices"])
    num_masked = int(mask.sum(1)[0])
    negatives = torch.from_numpy(inputs["neg_idxs"]).view(len(mask), num_masked, -1)
    source = torch.from_numpy(inputs["source"])
    output = network(source, mask=mask, negatives=negatives)
    outputs = {
        "context_masked": output.encoded.frames,
        "aggregated_features": output.encoded.pooled,
        "w2v_logits_NxBxT": output.logits.permute(2, 0, 1),
        "w2v_logits_flat": output.flat_logits,
        "temp": output.temperature,
    }
    if output.quantized is not None:
        quantized = network.quantizer(network.encode(source).local_features)
        outputs |= {
            "quantizer_targets": quantized.codes,
            "quantized": quantized.frames,
            "prob_perplexity": output.quantized.prob_perplexity,
            "code_perplexity": output.quantized.code_perplexity,
            "num_vars": output.num_vars,
        }
    if "wav2vec2" not in config["criterion"]["_name"]:
        return outputs
    return outputs | _joint_loss(output, inputs, config["criterion"])


def _joint_loss(
    output: ContrastiveOutput, inputs: dict[str, np.ndarray], criterion: dict[str, Any]
) -> dict[str, Any]:
    weights = criterion.get("loss_weights") or [0.0, 0.0]
    terms = losses.wav2vec2_loss(output, criterion.get("infonce", False), weights[0], weights[-1])
    if "cmsc" in criterion["_name"]:
        cmsc_weight = criterion.get("cmsc_weights")
        terms = losses.wav2vec2_with_cmsc_loss(
            output,
            torch.from_numpy(inputs["patient_id"]),
            torch.from_numpy(inputs["segment"]),
            terms,
            1.0 if cmsc_weight is None else cmsc_weight,
            criterion.get("temp", DEFAULT_TEMPERATURE),
        )
    right = (output.flat_logits.argmax(1) == 0) & (output.flat_logits.argmin(1) != 0)
    numbers = {"contrastive": 0, "diversity": 1, "penalty": 2, "cmsc": 3}
    return {
        "joint_loss": terms.total,
        "sample_size": terms.num_terms,
        "joint/loss": terms.total,
        "joint/sample_size": terms.num_terms,
        "joint/correct": right.sum(),
        "joint/count": len(right),
        **{f"joint/loss_{numbers[name]}": part for name, part in terms.parts.items()},
    }


def _embedding_losses(
    embeddings: Tensor, inputs: dict[str, np.ndarray], temperature: float
) -> dict[str, Any]:
    """Compare embeddings of whole, unmasked segments."""
    if not {"patient_id", "segment"} <= inputs.keys():
        return {}
    patients = torch.from_numpy(inputs["patient_id"])
    pairs = torch.arange(len(embeddings)) // 2
    return {
        "cmsc_loss_unmasked": contrastive_losses.cmsc_loss(
            embeddings, patients, torch.from_numpy(inputs["segment"]), temperature
        ),
        "simclr_loss_unmasked": contrastive_losses.simclr_loss(embeddings, temperature),
        "threekg_loss_unmasked_unique_pids": contrastive_losses.three_kg_loss(
            embeddings, pairs, temperature
        )[0],
    }


def _classifier_outputs(
    network: nn.Module, inputs: dict[str, np.ndarray], recorded: dict[str, np.ndarray]
) -> dict[str, Any]:
    source = torch.from_numpy(inputs["source"])
    output = network(source)
    outputs = {
        "clf_encoder_out": output.encoded.frames,
        "clf_logits": output.logits,
        "clf_embedding": output.pooled,
        "clf_saliency": network.encoder.attention(source),
    }
    if "padded_source" in inputs:
        padded = torch.from_numpy(inputs["padded_source"])
        padding_mask = torch.from_numpy(inputs["padded_padding_mask"])
        outputs["clf_logits_padded"] = network(padded, padding_mask).logits
    if "clf_label" in recorded:
        labels = torch.from_numpy(recorded["clf_label"])
        weights = classification_losses.positive_weights(
            recorded["clf_pos_weight"].tolist(), labels.shape[1]
        )
        loss = classification_losses.binary_cross_entropy
        outputs["bce_loss_sum"] = loss(output.logits, labels, weights)
        outputs["bce_loss_sum_no_pos_weight"] = loss(output.logits, labels)
        predicted, truth = output.logits.sigmoid() > 0.5, labels.bool()
        outputs["bce/accuracy"] = (predicted == truth).double().mean()
        outputs["bce/precision"] = (predicted & truth).sum() / predicted.sum()
        outputs["bce/recall"] = (predicted & truth).sum() / truth.sum()
        outputs["bce/loss"] = outputs["bce_loss_sum"] / labels.numel() / math.log(2)
        outputs["bce/em_accuracy"] = (predicted == truth).all(1).double().mean()
        areas = label_scores(labels.numpy(), output.logits.detach().numpy())
        outputs["bce/auroc_micro"], outputs["bce/auprc_micro"] = (
            areas.auroc_micro,
            areas.auprc_micro,
        )
    return outputs


def _check(name: str, ours: Any, theirs: np.ndarray) -> Check:
    ours = np.asarray(ours)
    if theirs.ndim == 0 and any(word in name for word in _SCALARS_ARE_RELATIVE):
        return Check(name, difference(ours, theirs), RELATIVE_TOLERANCE * abs(float(theirs)))
    if theirs.dtype.kind in "iub":
        return Check(name, difference(ours, theirs), 0)
    return Check(name, difference(ours, theirs), LOGIT_TOLERANCE if "logits" in name else TOLERANCE)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest absolute difference; equal infinities do not differ, shapes must agree."""
    if ours.shape != theirs.shape:
        return float("inf")
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    is_equal = ours == theirs
    gap = np.abs(np.where(is_equal, 0.0, ours) - np.where(is_equal, 0.0, theirs))
    return float(gap.max(initial=0.0))


def _logged_checks(name: str, ours: dict[str, Any], logged: dict[str, float]) -> Iterator[Check]:
    """Compare what the criterion logged; values that are outputs too were compared above."""
    for key, value in logged.items():
        if f"{name}/{key}" in ours:
            error = abs(float(ours[f"{name}/{key}"]) - value)
            yield Check(f"{name}/{key}", error, tolerance_of(value, RELATIVE_TOLERANCE))
