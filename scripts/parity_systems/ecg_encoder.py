"""ecg_encoder's networks against its recorded tensors: of MERL the ResNet trunk and the loss.

A folder holds ``config.json``, ``state_dict.safetensors``, ``input.npz`` and ``outputs.npz``; sizes
are read off the weights, so any will do. Other networks of ecg_encoder, and MERL's heads, are not
compared: the number of their recorded tensors is told on stderr.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecg_fairseq.networks.layers.clip_loss import clip_loss
from ecg_fairseq.networks.layers.resnet import ResNet, resnet_config_of
from parity_systems.check import Check

_TRUNK = "resnet."
_STAGES = ("layer1", "layer2", "layer3")
_TEMPERATURE = 0.07
_FILES = ("config.json", "state_dict.safetensors", "input.npz", "outputs.npz")


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield the comparisons of a folder, or of each of its sub-folders, that holds a MERL case.

    Raises:
        NotImplementedError: it holds cases of other networks only.
    """
    others, found = set(), False
    for folder in (case_dir, *sorted(path for path in case_dir.iterdir() if path.is_dir())):
        if not all((folder / name).is_file() for name in _FILES):
            continue
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("network") == "merl":
            found = True
            yield from _case_checks(folder, config)
        else:
            others.add(str(config.get("network")))
    if others and not found:
        raise NotImplementedError(
            f"of ecg_encoder's networks only merl is compared, and this is {', '.join(others)}"
        )


def _case_checks(folder: Path, config: dict[str, Any]) -> Iterator[Check]:
    inputs, recorded = _arrays(folder / "input.npz"), _arrays(folder / "outputs.npz")
    ours = _trunk_outputs(folder / "state_dict.safetensors", inputs["signal"])
    ours |= _losses(inputs, recorded)
    num_left = 0
    for name, theirs in recorded.items():
        if name in ours:
            yield _check(f"{folder.name}/{name}", name, ours[name], theirs, config["tolerance"])
        else:
            num_left += 1
    print(
        f"parity: {folder.name}: {num_left} tensors of MERL's heads not compared", file=sys.stderr
    )


def _arrays(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def _trunk_outputs(weights_file: Path, signal: Tensor) -> dict[str, Tensor]:
    """Run the trunk in evaluation mode, then once in training mode."""
    from safetensors.torch import load_file

    weights = {
        name.removeprefix(_TRUNK): value
        for name, value in load_file(weights_file).items()
        if name.startswith(_TRUNK)
    }
    network = ResNet(resnet_config_of(weights)).eval()
    network.load_state_dict(weights)
    outputs: dict[str, Tensor] = {}
    parts = {"stem_bn": network.bn1}
    parts |= {name: list(network.get_submodule(name).children())[-1] for name in _STAGES}
    hooks = [part.register_forward_hook(_recorder(outputs, name)) for name, part in parts.items()]
    with torch.no_grad():
        outputs["resnet_out"] = network(signal)
        for hook in hooks:
            hook.remove()
        outputs["train.resnet_out"] = network.train()(signal)
    after = network.state_dict()
    return outputs | {f"train.after.{_TRUNK}{name}": value for name, value in after.items()}


def _recorder(outputs: dict[str, Tensor], key: str) -> Any:
    """Return a hook that keeps a copy: what follows works in place."""

    def record(_module: Any, _inputs: Any, output: Any) -> None:
        outputs[key] = (output[0] if isinstance(output, tuple) else output).clone()

    return record


def _losses(inputs: dict[str, Tensor], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    """Apply the loss to recorded embeddings, so that the heads need not exist here."""
    found = {}
    for name, pair in [
        ("given.loss", (inputs.get("given_x"), inputs.get("given_y"))),
        ("loss_cma", (recorded.get("proj_ecg"), recorded.get("proj_text"))),
        ("loss_uma", (recorded.get("ecg1"), recorded.get("ecg2"))),
    ]:
        first, second = pair
        if first is not None and second is not None:
            found[name] = clip_loss(first, second, _TEMPERATURE, reduction="mean")
    if "loss_cma" in found and "loss_uma" in found:
        found["loss"] = found["loss_cma"] + found["loss_uma"]
    return found


def _check(label: str, name: str, ours: Tensor, theirs: Tensor, allowed: dict[str, Any]) -> Check:
    """Compare elementwise, and report the element that is furthest beyond what is allowed to it."""
    if ours.shape != theirs.shape:
        return Check(label, float("inf"), 0.0)
    ours, theirs = ours.double(), theirs.double()
    if "num_batches" in name:
        return Check(label, float((ours - theirs).abs()), 0.0)
    absolute = allowed.get("per_key_atol", {}).get(name, allowed["atol"])
    error = (ours - theirs).abs()
    tolerance = absolute + allowed["rtol"] * theirs.abs()
    worst = (error / tolerance).nan_to_num(nan=torch.inf).argmax()
    return Check(label, float(error.flatten()[worst]), float(tolerance.flatten()[worst]))
