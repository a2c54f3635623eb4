"""scripts/parity.py heartllm: the recorded autoencoders pass, and a changed weight does not."""

import importlib
import json
import shutil
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
COMPARED = {
    "code_pre", "code_cont", "code_disc", "code_levels", "token_ids", "reconstruction",
    "reconstruction_from_disc", "n_params",
}  # fmt: skip


@pytest.fixture
def parity(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("parity")


@pytest.fixture
def case(shared_dir: Path, tmp_path: Path) -> Path:
    """A writable copy of the recorded autoencoders."""
    for path in (shared_dir / "golden" / "heartllm").glob("fsq_*"):
        shutil.copyfile(path, tmp_path / path.name)
    return tmp_path


def test_everything_recorded_is_equal(
    parity: ModuleType, case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = parity.main(["heartllm", str(case)])
    out = capsys.readouterr().out
    assert status == 0, out
    names = {line.split()[0] for line in out.splitlines()[:-1]}
    for name in ("fsq_small", "fsq_variant"):
        assert {f"{name}/{tensor}" for tensor in COMPARED} <= names


def test_the_tokenizer_of_the_later_stages_is_equal(
    parity: ModuleType, shared_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = shared_dir / "golden" / "heartllm" / "llm_stages"
    for name in ("fsq_best.pt", "set.json", "ecg_codes.npz"):
        shutil.copyfile(stages / name, tmp_path / name)
    status = parity.main(["heartllm", str(tmp_path)])
    out = capsys.readouterr().out
    assert status == 0, out
    for name in ("code_pre", "code_levels", "codes", "exported_keys", "exported_weights"):
        assert f"fsq_best/{name} " in out


@pytest.mark.parametrize(
    ("key", "failing"),
    [
        ("enc.blocks.0.0.match.weight", "code_pre"),
        ("enc.bottleneck.inc.b4.weight", "code_pre"),
        ("enc.to_code.bias", "code_pre"),
        ("dec.expand.weight", "reconstruction"),
        ("dec.dec.3.norm.bias", "reconstruction_from_disc"),
    ],
)
def test_one_changed_weight_fails(
    key: str, failing: str, parity: ModuleType, case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = load_file(case / "fsq_variant.safetensors")
    weights[key].view(-1)[0] += 0.05
    save_file(weights, case / "fsq_variant.safetensors")
    assert parity.main(["heartllm", str(case)]) == 1
    lines = capsys.readouterr().out.splitlines()
    failed = [line.split()[0] for line in lines if line.endswith("FAIL")]
    assert f"fsq_variant/{failing}" in failed


def test_benchmark_compares_ids_and_times_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    stage = importlib.import_module("benchmarks.fsq_encode")
    before = torch.get_num_threads()
    try:
        found = stage.run(Namespace(records=2, repeats=1, channels=8))
    finally:
        torch.set_num_threads(before)
    assert (found["ids"], found["ids_differing"]) == (626, 0)
    assert set(found["ms_per_record"]) == {"published", "ours"}
    assert 0 < found["ms_per_cached_record"] < min(found["ms_per_record"].values())


def test_a_constant_of_another_value_fails(
    parity: ModuleType, case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((case / "fsq_small.json").read_text())
    (case / "fsq_small.json").write_text(json.dumps({**config, "leaky_relu_slope": 0.2}))
    assert parity.main(["heartllm", str(case)]) == 1
    assert "fsq_small/leaky_relu_slope 0.19 0 ... FAIL" in capsys.readouterr().out


def test_a_changed_code_in_the_record_fails(
    parity: ModuleType, shared_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = shared_dir / "golden" / "heartllm" / "llm_stages"
    for name in ("fsq_best.pt", "set.json", "ecg_codes.npz"):
        shutil.copyfile(stages / name, tmp_path / name)
    stored = torch.load(tmp_path / "fsq_best.pt", weights_only=True)
    stored["model"]["enc.to_code.bias"] += 0.5
    torch.save(stored, tmp_path / "fsq_best.pt")
    assert parity.main(["heartllm", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "fsq_best/codes" in out
    assert "fsq_best/exported_weights 0 0 ok" in out


def copied_stages(shared_dir: Path, tmp_path: Path, num_cases: int = 1) -> Path:
    """Return a writable copy of the later stages with the first cases of each kind."""
    stages = shared_dir / "golden" / "heartllm" / "llm_stages"
    folder = tmp_path / "stages"
    shutil.copytree(stages, folder, ignore=shutil.ignore_patterns("data", "*published*"))
    for name in ("stage3.json", "inference.json"):
        value = json.loads((folder / name).read_text())
        value["cases"] = dict(list(value["cases"].items())[:num_cases])
        (folder / name).write_text(json.dumps(value))
    return folder


def failed_checks(
    parity: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[set[str], set[str]]:
    """Return the names of all checks of the later stages, and of those that fail."""
    parity.main(["heartllm", str(folder)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[:-1]]
    names = {words[0] for words in lines}
    return names, {words[0] for words in lines if words[-1] == "FAIL"}


@pytest.mark.slow
def test_instruction_tuning_is_equal(
    parity: ModuleType, shared_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, failed = failed_checks(parity, copied_stages(shared_dir, tmp_path), capsys)
    assert failed == set()
    for name in ("input_ids", "labels", "token_nll", "loss", "relative_grad_norms", "trainable"):
        assert f"qa_train/{name}" in names
    assert {"stage2_qa/prompt_ids", "stage2_qa/generated_ids"} <= names


@pytest.mark.slow
def test_a_changed_weight_of_the_language_model_fails(
    parity: ModuleType, shared_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied_stages(shared_dir, tmp_path)
    weights = load_file(folder / "ckpt_stage2.safetensors")
    key = next(name for name in weights if "layers.1.mlp.down_proj.lora_B" in name)
    weights[key][0, 0] += 0.5
    save_file(weights, folder / "ckpt_stage2.safetensors")
    _, failed = failed_checks(parity, folder, capsys)
    assert {"qa_train/loss", "qa_train/token_nll"} <= failed
    assert "qa_train/input_ids" not in failed


@pytest.mark.slow
def test_a_changed_character_of_a_prompt_fails(
    parity: ModuleType, shared_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied_stages(shared_dir, tmp_path)
    value = json.loads((folder / "stage3.json").read_text())
    entry = value["cases"]["qa_train"]["items"][0]["entry"]
    entry["question"] = entry["question"].replace("?", "!").replace(".", "!")
    (folder / "stage3.json").write_text(json.dumps(value))
    _, failed = failed_checks(parity, folder, capsys)
    assert "qa_train/input_ids" in failed
