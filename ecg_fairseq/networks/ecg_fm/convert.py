"""fairseq-signals checkpoints to ours, and back (fact sheet section 6).

Networks have the same tensor names on both sides; what differs is how the weight norm of the
position convolution is stored, and settings. Every key is accounted for in the report.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.files import sha256_of_file
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.networks.conversion import (
    ConversionReport,
    float32_tensors,
    refuse_own,
    two_files,
    write_checkpoint,
)
from ecg_fairseq.networks.ecg_fm.checkpoint import NETWORKS, config_of, stored_config
from ecg_fairseq.networks.ecg_fm.config import KEY_STYLES
from ecg_fairseq.networks.ecg_fm.fairseq_signals_file import plain, read_foreign_checkpoint
from ecg_fairseq.networks.ecg_fm.tensor_sizes import guess_model, reconcile, sizes_of

# What ``ecg-fairseq convert`` may be told besides.
OPTIONS = {"to": ("key_style",)}
# fairseq-signals' model name -> ours; fairseq itself owns the name wav2vec2.
MODEL_NAMES = {
    "wav2vec2": "ecg_wav2vec2",
    "wav2vec2_cmsc": "wav2vec2_cmsc",
    "ecg_transformer": "ecg_transformer",
    "ecg_transformer_classifier": "ecg_transformer_classifier",
    "arcface": "arcface",
}
# older spelling -> the one that torch uses now, and so do we
_WEIGHT_NORM = {
    "conv_pos.pos_conv.0.weight_g": "conv_pos.pos_conv.0.parametrizations.weight.original0",
    "conv_pos.pos_conv.0.weight_v": "conv_pos.pos_conv.0.parametrizations.weight.original1",
}
_OURS_ONLY = ("padding_reaches_positions", "checkpoint_activations", "compile_layers")
# fairseq-signals repeats these settings of the task in its models.
_FROM_TASK = ("normalize", "filter", "data")
# What our tasks take from groups that fairseq-signals lacks or fills in part: no half precision.
_TASK_LINKS = {
    "common_precision": "False,False,False,False,False",
    "seed": 1,
    "save_dir": "checkpoints",
    "criterion_name": "",
    "train_subset": "train",
}
_TASK_FIELDS = {
    "_name", "data", "leads_to_load", "leads_bucket", "bucket_selection", "sample_rate", "filter",
    "normalize", "mean_path", "std_path", "enable_padding", "enable_padding_leads",
    "max_sample_size", "min_sample_size", "num_batch_buckets", "precompute_mask_indices",
    "perturbation_mode", "p", "max_amplitude", "min_amplitude", "dependency", "shift_ratio",
    "num_segment", "max_freq", "min_freq", "k", "mask_leads_selection", "mask_leads_prob",
    "mask_leads_condition", "inferred_w2v_config", "inferred_3kg_config", "criterion_name",
    "path_dataset", "label_file", "load_specific_lead", "visualize",
}  # fmt: skip


def convert_checkpoint(
    source: Path | str, out: Path | str, allow_partial: bool = False
) -> ConversionReport:
    """Write one of our checkpoints from one of fairseq-signals'.

    Args:
        source: fairseq-signals' file, with either spelling of keys.
        out: our file; it loads with torch's restricted reader.
        allow_partial: keep random values for tensors that are missing, and leave others out.

    Raises:
        CheckpointError: the file is damaged or hostile, of another system, or does not fit.
    """
    source, out = two_files(source, out)
    foreign = read_foreign_checkpoint(source)
    refuse_own(foreign.content, source, "fairseq-signals")
    tensors, renamed, notes = _tensors(foreign.content["model"], source)
    if foreign.inert:
        notes.append(f"stored objects left unread: {', '.join(foreign.inert)}")
    cfg = _settings(foreign.content)
    values, more = _model_settings(cfg.get("model") or {}, tensors, source)
    name = MODEL_NAMES[values.pop("_name")]
    # The result stands by itself: nothing else has to be read to build it again.
    ours = {"padding_reaches_positions": True, "model_path": None, "no_pretrained_weights": True}
    config = config_of(name, {**values, **ours})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NETWORKS[name][0](config)
    report = ConversionReport(str(source), name, renamed=renamed, notes=notes + more)
    report.num_parameters = sum(weight.numel() for weight in network.parameters())
    state = network.state_dict()
    report.account(state, tensors)
    if not allow_partial:
        report.refuse_partial()
    taken = {*report.matched, *renamed.values()}
    model = {key: tensors[key] if key in taken else state[key] for key in state}
    cfg["model"] = {"_name": name, **asdict(config)}
    if cfg.get("task"):
        cfg["task"] = {**_TASK_LINKS, **cfg["task"]}
    _write(out, foreign.content, cfg, model, {**report.as_dict(), "sha256": sha256_of_file(source)})
    return report


def export_checkpoint(
    source: Path | str, out: Path | str, key_style: str = "weight_g"
) -> ConversionReport:
    """Write a fairseq-signals checkpoint from one of ours.

    Args:
        source: our file.
        out: fairseq-signals' file.
        key_style: one of ``KEY_STYLES``; fairseq-signals reads both, published files have the
            first.

    Raises:
        CheckpointError: the file is not ours, or fairseq-signals has no such network.
    """
    source, out = two_files(source, out)
    if key_style not in KEY_STYLES:
        raise CheckpointError(f"key style {key_style!r} is not one of {', '.join(KEY_STYLES)}")
    state = read_checkpoint_file(source)
    name, config = stored_config(state, source)
    if config.extractor_mode != "default":
        raise CheckpointError(
            f"fairseq-signals cannot build model.extractor_mode={config.extractor_mode!r} (it "
            "crashes there), so this network cannot be exported"
        )
    theirs = next(other for other, own in MODEL_NAMES.items() if own == name)
    report = ConversionReport(str(source), theirs)
    if not config.padding_reaches_positions:
        report.notes.append(
            "fairseq-signals lets padded frames leak into their neighbours, this network does not: "
            "embeddings of padded segments will differ there"
        )
    model = {}
    for key, tensor in state["model"].items():
        old = _old_spelling(key) if key_style == "weight_g" else key
        model[old] = tensor
        report.num_parameters += tensor.numel()
        if old == key:
            report.matched.append(key)
        else:
            report.renamed[key] = old
    cfg = {group: values for group, values in plain(state["cfg"]).items()}
    task = {key: value for key, value in (cfg.get("task") or {}).items() if key in _TASK_FIELDS}
    if task.get("criterion_name") == _TASK_LINKS["criterion_name"]:
        del task["criterion_name"]  # the file that was converted had none
    settings = {key: value for key, value in asdict(config).items() if key not in _OURS_ONLY}
    if hasattr(config, "prediction_dim"):
        settings["final_dim"] = config.prediction_dim
    settings |= {key: task.get(key, False if key != "data" else None) for key in _FROM_TASK}
    settings["all_gather"] = False
    cfg["task"], cfg["model"] = task, {"_name": theirs, **settings, "args": None}
    _write(out, state, cfg, model, None)
    return report


def _tensors(stored: Any, source: Path) -> tuple[dict[str, Tensor], dict[str, str], list[str]]:
    """Return fp32 tensors under our names, what was renamed, and notes."""
    keys = [key for key in stored if isinstance(key, str)] if isinstance(stored, Mapping) else []
    renamed = {key: new for key in keys if (new := _new_spelling(key)) != key}
    tensors, notes = float32_tensors(stored, source, renamed)
    return tensors, renamed, notes


def _new_spelling(key: str) -> str:
    for old, new in _WEIGHT_NORM.items():
        if key.endswith(old):
            return key.removesuffix(old) + new
    return key


def _old_spelling(key: str) -> str:
    for old, new in _WEIGHT_NORM.items():
        if key.endswith(new):
            return key.removesuffix(new) + old
    return key


def _settings(content: dict[str, Any]) -> dict[str, Any]:
    """Return the stored settings by group; old files have one flat namespace instead."""
    cfg = plain(content.get("cfg"))
    if isinstance(cfg, dict):
        return cfg
    flat = plain(content.get("args"))
    return {"model": flat} if isinstance(flat, dict) else {}


def _model_settings(
    stored: Any, tensors: dict[str, Tensor], source: Path
) -> tuple[dict[str, Any], list[str]]:
    """Return the settings to build with, ``_name`` included, and notes on them."""
    stored = stored if isinstance(stored, dict) else {}
    guessed = guess_model(set(tensors))
    name = stored.get("_name") or stored.get("arch") or guessed
    notes = []
    if not stored:
        notes.append(f"the file holds no settings: taken for {name} with default settings")
    if guessed is None or name not in MODEL_NAMES:
        groups = sorted({".".join(key.split(".")[:2]) for key in tensors})
        raise CheckpointError(
            f"{source} holds the model {stored.get('_name')!r} with tensors of "
            f"{', '.join(groups[:8])}; of fairseq-signals' models these can be converted: "
            f"{', '.join(MODEL_NAMES)}"
        )
    has_other_head = {name, guessed} & {"arcface", "ecg_transformer_classifier"}
    if has_other_head and name != guessed:
        raise CheckpointError(f"{source} says it is {name}, but its tensors are of {guessed}")
    kind = NETWORKS[MODEL_NAMES[name]][1]
    known = asdict(kind())
    surplus = set(stored) - set(known) - {"_name", "args", "arch", "all_gather", *_FROM_TASK}
    if surplus:
        notes.append(f"settings without a counterpart here: {', '.join(sorted(surplus))}")
    values = {**known, **{key: value for key, value in stored.items() if key in known}}
    for key, value in values.items():
        if not _is_like(value, known[key]):
            raise CheckpointError(
                f"{source} says {key}={value!r}, where a {type(known[key]).__name__} belongs"
            )
    sizes = sizes_of(tensors)
    fitting = {key: size for key, size in sizes.items() if key in known or key == "convolutions"}
    values, more = reconcile(values, fitting)
    return {**values, "_name": name}, notes + more


def _is_like(value: Any, default: Any) -> bool:
    """Whether a stored setting is of the kind of its default; numbers may be whole or not."""
    if default is None:
        return value is None or isinstance(value, str)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, int | float):
        return isinstance(value, int | float)
    if isinstance(default, list):
        return isinstance(value, list) and all(isinstance(x, int | float) for x in value)
    return isinstance(value, type(default))


def _write(
    out: Path,
    content: Mapping[str, Any],
    cfg: dict[str, Any],
    model: Mapping[str, Tensor],
    provenance: dict[str, Any] | None,
) -> None:
    """Write a checkpoint; its history is the one that was read."""
    history = plain(content.get("optimizer_history") or [{}])[-1]
    write_checkpoint(out, cfg, model, {"history": history, "converted": provenance})
