"""scripts/parity.py ecg-fm: the recorded reference passes, and a changed weight does not."""

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
LOSSES = {"joint_loss": 3439.5305, "bce_loss_sum": 241.68118}


@pytest.fixture
def parity(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("parity")


@pytest.fixture
def case(shared_dir: Path, tmp_path: Path) -> Path:
    """A writable copy of the recorded case, without the raw data beside it."""
    folder = tmp_path / "case"
    folder.mkdir()
    for path in (shared_dir / "golden" / "ecg-fm").iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    return folder


def results(parity: ModuleType, case: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    return parity.main(["ecg-fm", str(case)]), capsys.readouterr().out


def test_everything_recorded_is_equal(
    parity: ModuleType, case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(case / "outputs.npz") as recorded:
        names = set(recorded.files) - {"clf_label", "clf_pos_weight"}
        for name, value in LOSSES.items():
            assert float(recorded[name]) == pytest.approx(value, rel=1e-6)
    status, out = results(parity, case, capsys)
    assert status == 0, out
    assert names <= {line.split()[0] for line in out.splitlines()}
    assert out.splitlines()[-1].endswith(" ok, 0 FAIL")


@pytest.mark.parametrize(
    ("file", "key", "failing"),
    [
        ("state_dict", "encoder.layers.1.fc2.weight", "context_unmasked"),
        ("state_dict", "quantizer.vars", "checkpoint_pretrained/weights"),
        ("state_dict", "mask_emb", "context_masked"),
        ("classifier_state_dict", "proj.bias", "clf_logits"),
    ],
)
def test_one_changed_weight_fails(
    file: str, key: str, failing: str, parity: ModuleType, case: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = case / f"{file}.safetensors"
    tensors = load_file(path)
    tensors[key].view(-1)[3] += 0.01
    save_file(tensors, path)
    status, out = results(parity, case, capsys)
    assert status == 1
    failed = {line.split()[0] for line in out.splitlines() if line.endswith("... FAIL")}
    assert failing in failed


def test_changed_checkpoint_fails(
    parity: ModuleType, case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = case / "checkpoint_pretrained_legacy_keys.pt"
    state = torch.load(path)
    state["model"]["conv_pos.pos_conv.0.weight_g"] += 1e-3
    torch.save(state, path)
    status, out = results(parity, case, capsys)
    assert status == 1
    failed = {line.split()[0] for line in out.splitlines() if line.endswith("... FAIL")}
    assert "checkpoint_pretrained_legacy_keys/weights" in failed


def test_folder_of_checkpoints_alone_can_be_compared(
    parity: ModuleType,
    foreign_file: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = foreign_file()
    case = source.parent / "other"
    case.mkdir()
    source.rename(case / "checkpoint_other.pt")
    status, out = results(parity, case, capsys)
    assert (status, out.splitlines()[-1]) == (0, "2 ok, 0 FAIL")
