"""Manifests, tokenizers, checkpoints and exports of an earlier version still give what they gave.

See tests/earlier_files/README.md for what the files are. Floats are compared within what another
CPU may change.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from warm_processes import WarmProcess

from .commands import BIN, environment

FILES = Path(__file__).resolve().parents[1] / "earlier_files"
EXPECTED = FILES / "expected"
QUESTION = "Does this ECG show signs of first degree av block?"
TRAINING = json.loads((EXPECTED / "training.json").read_text())

ANSWERING = (
    "model.hidden_size=32",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.num_key_value_heads=2",
    "model.intermediate_size=64",
    "task.text_vocab_size=300",
    "lr_scheduler.warmup_updates=2",
    "lr_scheduler.lr_period_updates=240",
    "dataset.validate_interval_updates=60",
    "checkpoint.save_interval_updates=60",
)
PRETRAINING = (
    "model.encoder_layers=1",
    "model.encoder_embed_dim=32",
    "model.encoder_ffn_embed_dim=64",
    "model.encoder_attention_heads=2",
    "model.conv_feature_layers='[(16,2,2)]*4'",
    "model.conv_pos=8",
    "model.conv_pos_groups=2",
    "model.final_dim=16",
    "model.latent_vars=8",
    "model.num_negatives=5",
    "model.mask_length=2",
    "lr_scheduler.warmup_updates=1",
    "lr_scheduler.lr_period_updates=8",
    "dataset.validate_interval_updates=2",
    "checkpoint.save_interval_updates=2",
)
DIAGNOSIS = (
    "model.model_path=pretraining.pt",
    "optimization.lr=[0.001]",
    "dataset.validate_interval_updates=2",
    "checkpoint.save_interval_updates=2",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files, where commands may write beside them."""
    return Path(shutil.copytree(FILES, tmp_path / "files"))


def run(folder: Path, program: str, *words: str) -> str:
    """Run a console command in the folder; return its stdout and stderr."""
    command = [str(BIN / program), *words]
    done = WarmProcess(command, folder, environment()).wait()
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def last_json(output: str) -> Any:
    return json.loads(next(line for line in output.splitlines() if line.startswith("{")))


def assert_alike(given: Any, expected: Any, where: str = "") -> None:
    """Compare JSON values: what was there must be there, floats within 1e-4."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert_alike(given[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(given) == len(expected), where
        for place, (one, other) in enumerate(zip(given, expected, strict=True)):
            assert_alike(one, other, f"{where}[{place}]")
    elif isinstance(expected, float):
        assert given == pytest.approx(expected, rel=1e-3, abs=1e-4), where
    else:
        assert given == expected, where


def test_a_diagnosis_checkpoint_predicts_as_before(folder: Path) -> None:
    output = run(
        folder, "ecg-fairseq", "predict", "--checkpoint", "diagnosis.pt", "00004_hr", "--json"
    )
    expected = json.loads((EXPECTED / "predict_diagnosis.json").read_text())
    assert_alike(last_json(output), {**expected, "record": "00004_hr"})


def test_an_answering_checkpoint_predicts_as_before(folder: Path) -> None:
    words = ("predict", "--checkpoint", "answering.pt", "00004_hr", "--question", QUESTION)
    output = run(folder, "ecg-fairseq", *words, "--json")
    expected = json.loads((EXPECTED / "predict_answering.json").read_text())
    assert_alike(last_json(output), {**expected, "records": ["00004_hr"]})


def test_embeddings_are_as_before(folder: Path) -> None:
    words = ("embed", "--checkpoint", "pretraining.pt", "ecg_fm_manifest", "--out", "x.npy")
    output = run(folder, "ecg-fairseq", *words)
    given, expected = np.load(folder / "x.npy"), np.load(EXPECTED / "embed.npy")
    np.testing.assert_allclose(given, expected, rtol=1e-3, atol=1e-4)
    described = json.loads((EXPECTED / "embed.json").read_text())
    same = {key: described[key] for key in ("rows", "width", "per", "pooling", "network", "recipe")}
    assert_alike(last_json(output), same)


@pytest.mark.slow
def test_generated_answers_are_as_before(folder: Path) -> None:
    package = run(folder, "ecg-fairseq", "user-dir").strip()
    run(
        folder,
        "fairseq-generate",
        *("qa_manifest", "--user-dir", package, "--task", "ecg_qa", "--path", "answering.pt"),
        *("--gen-subset", "test", "--results-path", "gen", "--max-tokens", "16000"),
        *("--no-progress-bar", "--text-vocab-size", "300"),
    )
    run(folder, "ecg-fairseq", "score", "gen/generate-test.txt", "qa_manifest", "--out", "scores")
    given = (folder / "scores/predictions.jsonl").read_text().splitlines()
    expected = (EXPECTED / "predictions.jsonl").read_text().splitlines()
    assert_alike([json.loads(line) for line in given], [json.loads(line) for line in expected])


def test_an_export_is_as_before(folder: Path) -> None:
    run(folder, "ecg-fairseq", "export", "--checkpoint", "answering.pt", "--out", "new")
    given = load_file(folder / "new/model.safetensors")
    expected = load_file(FILES / "export/model.safetensors")
    assert given.keys() == expected.keys()
    assert all(torch.equal(given[name], expected[name]) for name in expected)
    for name in ("ecg_fairseq.json", "recipe.json", "ecg_tokenizer.json", "tokenizer.json"):
        mine, theirs = (
            json.loads((place / name).read_text()) for place in (folder / "new", FILES / "export")
        )
        assert_alike(mine, theirs, name)


def trained(folder: Path, config: str, data: str, save_dir: str, *overrides: str) -> str:
    """Train with a log line an update; return the log."""
    return run(
        folder,
        "fairseq-hydra-train",
        *("--config-name", config, f"task.data={data}", f"checkpoint.save_dir={save_dir}"),
        *("common.log_interval=1", "dataset.batch_size=4", *overrides),
    )


def logged(output: str, kind: str) -> list[dict[str, Any]]:
    """Return the JSON lines of a kind (train_inner, valid)."""
    return [json.loads(line) for line in re.findall(rf"\[{kind}\].*? - (\{{.*\}})$", output, re.M)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config", "data", "max_update", "overrides"),
    [
        ("answering", "ecg_byte_qa_tiny", "qa_manifest", 126, ANSWERING),
        ("pretraining", "w2v_cmsc_rlm_tiny", "ecg_fm_manifest", 8, PRETRAINING),
        ("diagnosis", "diagnosis_tiny", "ecg_fm_manifest", 8, DIAGNOSIS),
    ],
)
def test_training_goes_on_as_it_did(
    folder: Path,
    name: str,
    config: str,
    data: str,
    max_update: int,
    overrides: tuple[str, ...],
) -> None:
    (folder / "run").mkdir()
    shutil.copy(folder / f"{name}.pt", folder / "run/checkpoint_last.pt")
    output = trained(
        folder, config, data, "run", f"optimization.max_update={max_update}", *overrides
    )
    expected = TRAINING[name]
    lines = logged(output, "train_inner")
    assert_alike([float(line["loss"]) for line in lines], expected["losses"])
    assert_alike([float(line["gnorm"]) for line in lines], expected["gnorms"])
    state = torch.load(folder / "run/checkpoint_last.pt", weights_only=True)
    assert state["optimizer_history"][-1]["num_updates"] == expected["num_updates"]
    magnitudes = {
        key: float(tensor.double().abs().mean())
        for key, tensor in state["model"].items()
        if tensor.is_floating_point()
    }
    assert_alike(magnitudes, expected["mean_magnitudes"])


@pytest.mark.slow
def test_finetuning_from_an_earlier_encoder_is_as_before(folder: Path) -> None:
    output = trained(
        folder, "diagnosis_tiny", "ecg_fm_manifest", "new", "optimization.max_update=4", *DIAGNOSIS
    )
    lines = logged(output, "valid")
    expected = TRAINING["finetuned"]
    assert_alike([float(line["valid_loss"]) for line in lines], expected["valid_losses"])
    assert_alike([float(line["valid_auroc"]) for line in lines], expected["valid_auroc"])
