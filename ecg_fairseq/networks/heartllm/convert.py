"""HeartLLM's tokenizer files to our checkpoints, and back (fact sheet heartllm.md, 1.5 and 1.7).

Names of tensors are the same on both sides. A file says neither the levels of a code nor the order
of its leads, so whoever converts may: published weights have six levels in each dimension, and were
trained on leads in the order that MIMIC-IV-ECG stores them in (recipe ``heartllm_reference``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.files import sha256_of_file
from ecg_fairseq.networks.checkpoint_file import (
    model_settings,
    read_checkpoint_file,
    read_torch_file,
)
from ecg_fairseq.networks.conversion import (
    ConversionReport,
    float32_tensors,
    refuse_own,
    save_torch_file,
    two_files,
    write_checkpoint,
)
from ecg_fairseq.networks.heartllm.checkpoint import ENCODER_PREFIX, network_of
from ecg_fairseq.networks.heartllm.config import MODEL, FsqAutoencoderConfig, config_of
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder
from ecg_fairseq.records.manifest.provenance import Provenance
from ecg_fairseq.signal.recipe import Recipe
from ecg_fairseq.signal.recipes import get_recipe

# What ``ecg-fairseq convert`` may be told besides.
OPTIONS = {"from": ("recipe", "levels")}
PUBLISHED_LEVELS = 6
PUBLISHED_RECIPE = "heartllm_reference"
_ROUNDED = (torch.bfloat16, torch.float16)


def convert_checkpoint(
    source: Path | str,
    out: Path | str,
    allow_partial: bool = False,
    recipe: str | None = None,
    levels: str | None = None,
) -> ConversionReport:
    """Write one of our checkpoints from a ``best.pt`` of HeartLLM's tokenizer.

    Args:
        source: file with ``model`` (73 tensors at the published depth) and ``step``; or a full
            checkpoint of HeartLLM, which holds the encoder alone and so is partial.
        out: our file; it loads with torch's restricted reader.
        allow_partial: keep random values for tensors that are missing, and leave others out.
        recipe: how the signals were prepared that it was trained on; None: as published, where the
            number of leads is.
        levels: of the code's dimensions, ``6`` or ``8,5,5,5``; None: six each.

    Raises:
        CheckpointError: the file is damaged or hostile, of another system, or does not fit.
        EcgError: recipe or levels do not belong to such a network.
    """
    source, out = two_files(source, out)
    content = read_torch_file(source)
    _refuse_fairseq(content, source)
    stored = _stored(content, source)
    tensors, notes = float32_tensors(stored["model"], source)
    notes += _notes_on_precision(stored["model"])
    config = _config(tensors, levels, source)
    chosen = _recipe(config, recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = FsqAutoencoder(config)
    report = ConversionReport(str(source), MODEL, notes=[*notes, *_notes(config, chosen)])
    report.num_parameters = sum(weight.numel() for weight in network.parameters())
    state = network.state_dict()
    report.account(state, tensors)
    if not allow_partial:
        report.refuse_partial()
    taken = set(report.matched)
    model = {key: tensors[key] if key in taken else state[key] for key in state}
    converted = {**report.as_dict(), "sha256": sha256_of_file(source)}
    extra = {
        "task_state": _source(chosen).to_state(),
        "history": {"num_updates": stored["step"]},
        "converted": converted,
    }
    write_checkpoint(out, {"model": {"_name": MODEL, **asdict(config)}}, model, extra)
    return report


def export_checkpoint(source: Path | str, out: Path | str) -> ConversionReport:
    """Write a ``best.pt`` of HeartLLM's tokenizer from one of our checkpoints.

    Args:
        source: our file, of the model ``fsq_autoencoder``.
        out: their file: a dict of ``model`` and ``step``.

    Raises:
        CheckpointError: the file is not ours, or of another model.
    """
    source, out = two_files(source, out)
    state = read_checkpoint_file(source)
    settings = model_settings(state)
    if settings.get("_name") != MODEL:
        raise CheckpointError(
            f"{source} holds the model {settings.get('_name')!r}; HeartLLM's tokenizer is written "
            f"from {MODEL}"
        )
    network = network_of(settings, state["model"], str(source))
    model = network.state_dict()
    report = ConversionReport(str(source), "HeartLLM's tokenizer", matched=list(model))
    report.num_parameters = sum(tensor.numel() for tensor in model.values())
    report.notes += _differences(network.config)
    step = int((state.get("optimizer_history") or [{}])[-1].get("num_updates", 0))
    save_torch_file(out, {"model": dict(model), "step": step})
    return report


def _refuse_fairseq(content: Any, source: Path) -> None:
    """Refuse checkpoints of this package, and of fairseq at all, which HeartLLM does not write."""
    refuse_own(content, source, "heartllm")
    if isinstance(content, Mapping) and isinstance(content.get("cfg"), Mapping):
        name = model_settings(content).get("_name")
        raise CheckpointError(
            f"{source} is a fairseq checkpoint (model {name!r}), no tokenizer of HeartLLM; a "
            "checkpoint of this package is used as it is"
        )


def _stored(content: Any, source: Path) -> dict[str, Any]:
    """Return ``model`` and ``step`` of a tokenizer's file or of a full checkpoint."""
    if isinstance(content, Mapping) and "model" in content:
        step = content.get("step", 0)
        is_number = isinstance(step, int) and not isinstance(step, bool) and step >= 0
        return {"model": content["model"], "step": step if is_number else 0}
    if isinstance(content, Mapping) and any(str(key).startswith(ENCODER_PREFIX) for key in content):
        return {"model": content, "step": 0}
    raise CheckpointError(
        f"{source} is no tokenizer of HeartLLM: it has neither an entry 'model' nor tensors "
        f"{ENCODER_PREFIX}*"
    )


def _config(
    tensors: Mapping[str, Tensor], levels: str | None, source: Path
) -> FsqAutoencoderConfig:
    """Return the sizes that the tensors have."""
    code, last = tensors.get("enc.to_code.weight"), tensors.get("enc.bottleneck.norm.weight")
    shapes_fit = code is not None and last is not None and code.dim() == 2 and last.dim() == 1
    if code is None or last is None or not shapes_fit or code.shape[1] % max(len(last), 1):
        groups = sorted({".".join(key.split(".")[:2]) for key in tensors})
        raise CheckpointError(
            f"{source} holds tensors of {', '.join(groups[:8])}; HeartLLM's tokenizer has "
            "enc.to_code.weight of shape (dimensions, leads x channels) and "
            "enc.bottleneck.norm.weight of shape (channels,)"
        )
    names = {key.split(".")[2] for key in tensors if key.startswith("enc.blocks.")}
    return config_of(
        {
            "in_d": code.shape[1] // len(last),
            "channels_per_lead": len(last),
            "levels": _levels(levels, len(code)),
            "depth": len(names),
        }
    )


def _levels(text: str | None, num_dimensions: int) -> Sequence[int]:
    words = (text or str(PUBLISHED_LEVELS)).split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise EcgError(f"--levels {text}; give one number, or one a dimension such as 8,5,5,5")
    numbers = [int(word) for word in words]
    numbers = numbers * num_dimensions if len(numbers) == 1 else numbers
    if len(numbers) != num_dimensions:
        raise EcgError(
            f"--levels {text} names {len(numbers)} dimensions, the file's code has {num_dimensions}"
        )
    return numbers


def _recipe(config: FsqAutoencoderConfig, name: str | None) -> Recipe | None:
    """Return the recipe; None where none is named and the leads are not the published twelve."""
    recipe = get_recipe(name or PUBLISHED_RECIPE)
    if len(recipe.shape) == 2 and recipe.shape[0] == config.in_d:
        return recipe
    if name is None:
        return None
    raise EcgError(
        f"recipe {name} makes segments of shape {recipe.shape}, the network reads "
        f"{config.in_d} leads"
    )


def _source(recipe: Recipe | None) -> Provenance:
    if recipe is None:
        return Provenance()
    leads = tuple(strip.lead for strip in recipe.strips)
    return Provenance(recipe={"name": recipe.name, "hash": recipe.hash()}, leads=leads)


def _notes(config: FsqAutoencoderConfig, recipe: Recipe | None) -> list[str]:
    if recipe is None:
        return [f"a network of {config.in_d} leads: which ones, and their recipe, are not known"]
    leads = " ".join(strip.lead for strip in recipe.strips)
    return [
        f"taken for levels {','.join(map(str, config.levels))} and recipe {recipe.name}, leads "
        f"{leads}; --levels and --recipe say otherwise"
    ]


def _notes_on_precision(stored: Mapping[str, Tensor]) -> list[str]:
    rounded = [
        key
        for key, tensor in stored.items()
        if key.startswith(ENCODER_PREFIX) and tensor.dtype in _ROUNDED
    ]
    if not rounded:
        return []
    return [
        f"{len(rounded)} tensors of the encoder are in half precision, which changes several per "
        "cent of all tokens: convert the stage-1 file (best.pt) that they were rounded from"
    ]


def _differences(config: FsqAutoencoderConfig) -> list[str]:
    """Return what of the sizes HeartLLM's program has as constants of another value."""
    published = FsqAutoencoderConfig()
    differing = [
        f"{name} {value} (published {getattr(published, name)})"
        for name, value in asdict(config).items()
        if value != getattr(published, name)
    ]
    if not differing:
        return []
    return [f"HeartLLM's program has these as constants, to be changed: {', '.join(differing)}"]
