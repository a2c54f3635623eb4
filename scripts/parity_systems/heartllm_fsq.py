"""HeartLLM's autoencoder against its recorded tensors: codes, ids exactly, reconstructions.

A case is NAME.json (sizes), NAME.safetensors (weights) and NAME.npz (inputs and outputs). A folder
of the later stages holds the tokenizer's own file, ``fsq_best.pt``, with ``set.json`` and
``ecg_codes.npz``; it goes through the converter.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file, read_torch_file
from ecg_fairseq.networks.heartllm.checkpoint import network_of
from ecg_fairseq.networks.heartllm.convert import convert_checkpoint, export_checkpoint
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder
from ecg_fairseq.networks.layers.residual_inception import NEGATIVE_SLOPE, NUM_GROUPS
from parity_systems.check import Check, difference

TOLERANCE = 1e-5
# Constants of the network that a case states, and what they are here.
_CONSTANTS = {
    "group_norm_groups": NUM_GROUPS,
    "leaky_relu_slope": NEGATIVE_SLOPE,
    "group_norm_eps": 1e-5,
}
_SIZES = ("leads", "levels", "dim_code", "channels_per_lead")


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield the comparisons of every case of a folder."""
    for path in sorted(case_dir.glob("*.json")):
        config = json.loads(path.read_text(encoding="utf-8"))
        weights = path.with_suffix(".safetensors")
        if isinstance(config, dict) and set(_SIZES) <= set(config) and weights.is_file():
            yield from _case_checks(path.stem, config, case_dir)
    if all((case_dir / name).is_file() for name in ("fsq_best.pt", "set.json", "ecg_codes.npz")):
        yield from _file_checks(case_dir)


def _case_checks(name: str, config: dict[str, Any], folder: Path) -> Iterator[Check]:
    for constant, ours in _CONSTANTS.items():
        yield Check(f"{name}/{constant}", abs(config.get(constant, ours) - ours), 0)
    network = network_of(_settings(config), load_file(folder / f"{name}.safetensors"), name)
    if "n_params" in config:
        num_parameters = sum(weight.numel() for weight in network.parameters())
        yield Check(f"{name}/n_params", abs(num_parameters - config["n_params"]), 0)
    with np.load(folder / f"{name}.npz", allow_pickle=False) as case:
        recorded = {key: case[key] for key in case.files}
    yield from _output_checks(name, network, recorded)


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    levels = config["levels"]
    return {
        "in_d": config["leads"],
        "channels_per_lead": config["channels_per_lead"],
        "levels": levels if isinstance(levels, list) else [levels] * config["dim_code"],
        "depth": config.get("depth", 4),
    }


def _output_checks(
    name: str, network: FsqAutoencoder, recorded: Mapping[str, np.ndarray]
) -> Iterator[Check]:
    signal = torch.from_numpy(recorded["signal"])
    with torch.no_grad():
        features = network.encode(signal).frames
        output = network(signal)
        grid = network.quantizer.grid(torch.from_numpy(recorded["code_levels"]))
        ours = {
            "code_pre": network.code_values(features),
            "code_cont": output.code.bounded,
            "code_disc": output.code.on_grid,
            "reconstruction": output.reconstruction,
            "reconstruction_from_disc": network.decode(grid, signal.shape[-1]),
        }
    ids = network.token_ids(signal)
    exact = {"code_levels": output.code.levels, "token_ids": ids, "codes": ids}
    for key, tensor in ours.items():
        if key in recorded:
            yield Check(f"{name}/{key}", difference(tensor.numpy(), recorded[key]), TOLERANCE)
    for key, tensor in exact.items():
        if key in recorded:
            yield Check(f"{name}/{key}", _num_differing(tensor.numpy(), recorded[key]), 0)


def _num_differing(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours != theirs).sum()) if ours.shape == theirs.shape else float("inf")


def _file_checks(folder: Path) -> Iterator[Check]:
    """Convert the tokenizer's own file, compare codes, and write it back."""
    source = folder / "fsq_best.pt"
    sizes = json.loads((folder / "set.json").read_text(encoding="utf-8"))["fsq"]
    with tempfile.TemporaryDirectory() as work:
        converted, back = Path(work) / "converted.pt", Path(work) / "back.pt"
        convert_checkpoint(source, converted, levels=str(sizes["levels"]))
        state = read_checkpoint_file(converted)
        network = network_of(state["cfg"]["model"], state["model"], str(converted))
        export_checkpoint(converted, back)
        theirs, ours = read_torch_file(source), read_torch_file(back)
    with np.load(folder / "ecg_codes.npz", allow_pickle=False) as case:
        yield from _output_checks("fsq_best", network, {key: case[key] for key in case.files})
    yield Check("fsq_best/exported_keys", len(set(ours["model"]) ^ set(theirs["model"])), 0)
    gaps = [
        difference(ours["model"][key].numpy(), tensor.numpy())
        for key, tensor in theirs["model"].items()
    ]
    yield Check("fsq_best/exported_weights", max(gaps), 0)
    yield Check("fsq_best/exported_step", abs(ours["step"] - theirs["step"]), 0)
