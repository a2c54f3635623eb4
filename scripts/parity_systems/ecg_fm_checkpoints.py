"""fairseq-signals' checkpoint files through our converter, and key lists of its published sizes."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.networks.ecg_fm.checkpoint import NETWORKS, config_of, load_network
from ecg_fairseq.networks.ecg_fm.convert import (
    KEY_STYLES,
    MODEL_NAMES,
    convert_checkpoint,
    export_checkpoint,
)
from ecg_fairseq.networks.ecg_fm.tensor_sizes import guess_model, sizes_of
from parity_systems.check import Check
from parity_systems.ecg_fm import LOGIT_TOLERANCE, TOLERANCE, difference


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield the comparisons of every ``checkpoint_*.pt`` and ``*_keys.json`` of a folder."""
    for path in sorted(case_dir.glob("*_keys.json")):
        recorded = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(recorded, dict) and {"keys", "n_params"} <= recorded.keys():
            yield from _key_checks(path.stem, recorded)
    for path in sorted(case_dir.glob("checkpoint_*.pt")):
        yield from _checkpoint_checks(path, case_dir)


def _key_checks(name: str, recorded: dict[str, Any]) -> Iterator[Check]:
    """Build the network of that size without memory, and compare names and shapes."""
    with torch.device("meta"):
        tensors = {key: torch.empty(shape) for key, shape in recorded["keys"].items()}
        model = MODEL_NAMES[guess_model(set(tensors))]
        values = asdict(NETWORKS[model][1]())
        config = config_of(model, {**values, **sizes_of(tensors)})
        network = NETWORKS[model][0](config)
    ours = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    yield Check(f"{name}/keys_and_shapes", _num_differing(ours, recorded["keys"]), 0)
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    yield Check(f"{name}/n_params", abs(num_parameters - recorded["n_params"]), 0)


def _num_differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> int:
    return sum(ours.get(key) != theirs.get(key) for key in ours.keys() | theirs.keys())


def _checkpoint_checks(path: Path, case_dir: Path) -> Iterator[Check]:
    """Convert a file, compare weights and outputs, and export it back."""
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "converted.pt"
        report = convert_checkpoint(path, converted)
        trained = load_network(converted)
        yield from _weight_checks(path.stem, trained.network.state_dict(), case_dir)
        yield from _output_checks(path.stem, trained.network, case_dir)
        original = read_checkpoint_file(path)["model"]
        style = KEY_STYLES[0] if report.renamed else KEY_STYLES[1]
        back = Path(folder) / "exported.pt"
        export_checkpoint(converted, back, style)
        exported = read_checkpoint_file(back)["model"]
        yield Check(f"{path.stem}/exported_keys", len(set(exported) ^ set(original)), 0)
        yield Check(f"{path.stem}/exported_weights", _largest_gap(exported, original), 0)


def _weight_checks(name: str, state: Mapping[str, Tensor], case_dir: Path) -> Iterator[Check]:
    from safetensors.torch import load_file

    file = "classifier_state_dict" if "proj.weight" in state else "state_dict"
    if (case_dir / f"{file}.safetensors").is_file():
        recorded = load_file(case_dir / f"{file}.safetensors")
        yield Check(f"{name}/weights", _largest_gap(state, recorded), 0)


def _largest_gap(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> float:
    if set(ours) != set(theirs):
        return float("inf")
    return max(difference(ours[key].numpy(), theirs[key].numpy()) for key in ours)


def _output_checks(name: str, network: torch.nn.Module, case_dir: Path) -> Iterator[Check]:
    if not (case_dir / "outputs.npz").is_file():
        return
    with (
        np.load(case_dir / "input.npz", allow_pickle=False) as inputs,
        np.load(case_dir / "outputs.npz", allow_pickle=False) as recorded,
        torch.no_grad(),
    ):
        source = torch.from_numpy(inputs["source"])
        if hasattr(network, "proj"):
            logits = network(source).logits.numpy()
            yield Check(
                f"{name}/logits", difference(logits, recorded["clf_logits"]), LOGIT_TOLERANCE
            )
            return
        context = network.encode(source).frames.numpy()
        yield Check(f"{name}/context", difference(context, recorded["context_unmasked"]), TOLERANCE)
