"""scripts/parity.py ecg-fm: the recorded reference passes, and a changed weight does not."""

import importlib
import json
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


def rewrite(path: Path, **changes: np.ndarray | None) -> dict[str, np.ndarray]:
    """Change arrays of an archive (None takes one out); return all of them."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    arrays = {name: values for name, values in arrays.items() if values is not None}
    np.savez(path, **arrays)
    return arrays


def failed(out: str) -> set[str]:
    return {line.split()[0] for line in out.splitlines() if line.endswith("... FAIL")}


def contrastive_loss(embeddings: np.ndarray, temperature: float) -> float:
    """The summed SimCLR loss of neighbouring rows in plain numpy."""
    rows = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = rows @ rows.T / temperature
    np.fill_diagonal(scores, -np.inf)
    partners = np.arange(len(rows)) ^ 1
    logs = np.log(np.exp(scores).sum(1))
    return float((logs - scores[np.arange(len(rows)), partners]).sum())


@pytest.mark.parametrize("temperature", [0.1, 0.25, None])
def test_losses_of_their_own_take_the_recorded_temperature(
    temperature: float | None,
    parity: ModuleType,
    case: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = json.loads((case / "config.json").read_text())
    if temperature is None:
        del config["criterion"]["temp"]
    else:
        config["criterion"]["temp"] = temperature
    config["criterion"]["_name"] = "simclr"  # its joint loss is none of ours then
    (case / "config.json").write_text(json.dumps(config))
    embeddings = rewrite(case / "outputs.npz")["cmsc_input_unmasked"].astype(np.float64)
    loss = np.float32(contrastive_loss(embeddings, temperature or 0.1))
    changes = {"simclr_loss_unmasked": loss, "threekg_loss_unmasked_unique_pids": loss}
    gone = dict.fromkeys(("joint_loss", "sample_size", "cmsc_loss_unmasked"))
    rewrite(case / "outputs.npz", **changes, **gone)
    status, out = results(parity, case, capsys)
    assert status == 0, out
    assert "simclr_loss_unmasked" in out
    assert "joint_loss" not in out


def test_another_seed_is_followed_by_the_seeds_of_chain_three_kg_and_masks(
    parity: ModuleType, case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = importlib.import_module("parity_systems.ecg_fm_masks")
    signals = importlib.import_module("parity_systems.ecg_fm_signal")
    path = case / "augmentations.npz"
    arrays = rewrite(path)
    chain = signals.chain_of(
        (*signals.NOISES, signals.MASKING), [0.5], fs_hz=500.0, **signals.PUBLISHED
    )
    rng = np.random.RandomState
    three_kg = signals.ThreeKg(mask_ratio=0.0, dependency="published")
    drawn = three_kg.draw(rng(79), arrays["input"].shape)
    rule = masks.SpanRule(0.65, 10)
    changes = {
        "seed": np.int64(77),
        "chain_p0.5": chain(arrays["input"], rng(78)),
        "threekg_nomask_view1": three_kg.apply(arrays["input"], drawn)[0],
        "mask_B6_T156_p0.65_l10": masks.published_mask((6, 156), rule, None, rng(80)),
    }
    other = [name for name in arrays if name not in changes and name != "input"]
    rewrite(path, **changes, **dict.fromkeys(other))
    status, out = results(parity, case, capsys)
    assert status == 0, out
    assert {"augmentations/chain_p0.5", "masks/mask_B6_T156_p0.65_l10"} <= set(out.split())
    rewrite(path, seed=np.int64(76))
    assert failed(results(parity, case, capsys)[1]) == {
        "augmentations/chain_p0.5",
        "augmentations/threekg_nomask_view1",
        "masks/mask_B6_T156_p0.65_l10",
    }


def test_recorded_masks_and_gradients_are_compared(
    parity: ModuleType, case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = rewrite(case / "augmentations.npz")
    mask = arrays["mask_padded_B4"].copy()
    mask[1, 3] ^= True
    rewrite(case / "augmentations.npz", mask_padded_B4=mask)
    module = importlib.import_module("parity_systems.ecg_fm")
    config = module.read_recorded(case / "config.json")
    network, _ = module._network(config["model"], case / "state_dict.safetensors")
    inputs = module._load(case / "input.npz")
    module._pretraining_outputs(network, inputs, config)["joint_loss"].backward()
    right = network.layer_norm.weight.grad.numpy()
    norms = {"final_proj.bias": float(network.final_proj.bias.grad.norm())}
    (case / "grad_norms.json").write_text(json.dumps(norms))
    rewrite(case / "outputs.npz", **{"grad.layer_norm.weight": right})
    names = {"grad.layer_norm.weight", "norm_of_grad.final_proj.bias"}
    status, out = results(parity, case, capsys)
    assert names <= set(out.split())
    assert (status, failed(out)) == (1, {"masks/mask_padded_B4"})
    rewrite(case / "outputs.npz", **{"grad.layer_norm.weight": right * 1.001, "grad.no": right})
    assert failed(results(parity, case, capsys)[1]) == {
        "masks/mask_padded_B4",
        "grad.layer_norm.weight",
        "grad.no",
    }


def test_rounded_numbers_are_compared_to_half_a_unit(
    parity: ModuleType, case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = importlib.import_module("parity_systems.recorded")
    assert recorded.half_unit_of("0.03333") == pytest.approx(5e-6, rel=1e-6)
    assert recorded.half_unit_of("0.4") == recorded.half_unit_of("44") == pytest.approx(5e-4)
    text = (case / "config.json").read_text()
    metrics = json.loads(text)["bce_reduced_metrics"]
    for key, value, is_right in (
        ("auroc_micro", round(metrics["auroc_micro"], 3), True),
        ("auroc_micro", 0.438, False),
        ("precision", 0.3334, False),
        ("precision", 0.3333, True),
        ("loss", 8.718, False),
    ):
        changed = json.loads(text)
        changed["bce_reduced_metrics"][key] = value
        (case / "config.json").write_text(json.dumps(changed))
        out = results(parity, case, capsys)[1]
        assert failed(out) == (set() if is_right else {f"bce/{key}"}), (key, value)
