"""scripts/parity.py ecg-encoder: MERL's recorded trunks pass, and a changed weight does not."""

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ecg_fairseq.networks.layers.resnet import ResNet, resnet_config

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
COMPARED = {
    "stem_bn", "layer1", "layer2", "layer3", "resnet_out", "train.resnet_out", "loss", "loss_cma",
    "loss_uma", "given.loss",
}  # fmt: skip


@pytest.fixture
def parity(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("parity")


@pytest.fixture
def golden(shared_dir: Path) -> Path:
    return shared_dir / "golden" / "ecg-encoder"


@pytest.mark.parametrize("name", ["merl", "merl_basic_block"])
def test_trunk_and_loss_equal_the_reference(
    name: str, parity: ModuleType, golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parity.main(["ecg-encoder", str(golden / name)]) == 0
    out = capsys.readouterr()
    compared = {line.split()[0].removeprefix(f"{name}/") for line in out.out.splitlines()[:-1]}
    with np.load(golden / name / "outputs.npz") as recorded:
        statistics = {key for key in recorded.files if key.startswith("train.after.resnet.")}
        num_left = len(recorded.files) - len(compared)
    assert compared == COMPARED | statistics
    assert len(statistics) == 6
    assert f"{num_left} tensors of MERL's heads not compared" in out.err


@pytest.mark.parametrize(
    "key",
    ["resnet.layer2.0.shortcut.0.weight", "resnet.layer1.0.conv3.weight", "resnet.bn1.running_var"],
)
def test_one_changed_weight_fails(
    key: str, parity: ModuleType, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = tmp_path / "case"
    case.mkdir()
    for path in (golden / "merl").iterdir():
        shutil.copyfile(path, case / path.name)
    weights = load_file(case / "state_dict.safetensors")
    weights[key] += 0.05
    save_file(weights, case / "state_dict.safetensors")
    assert parity.main(["ecg-encoder", str(tmp_path)]) == 1
    assert "case/resnet_out" in [
        line.split()[0] for line in capsys.readouterr().out.splitlines() if "FAIL" in line
    ]


@pytest.mark.parametrize(("name", "reason"), [("mae_vit", "mae_vit"), ("training", "no case")])
def test_nothing_to_compare_is_not_a_success(
    name: str, reason: str, parity: ModuleType, golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parity.main(["ecg-encoder", str(golden / name)]) == 2
    out = capsys.readouterr()
    assert reason in out.err
    assert out.err.count("\n") == 1
    assert out.out == "0 ok, 0 FAIL\n"


@pytest.mark.parametrize(("name", "depth"), [("merl_resnet18", 18), ("merl", 101)])
def test_full_size_has_the_reference_names_and_shapes(name: str, depth: int, golden: Path) -> None:
    recorded = json.loads((golden / "full_size" / f"{name}.json").read_text(encoding="utf-8"))
    trunk = {
        key.removeprefix("resnet."): tuple(entry["shape"])
        for key, entry in recorded.items()
        if key.startswith("resnet.")
    }
    with torch.device("meta"):
        network = ResNet(resnet_config(depth))
    assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == trunk
