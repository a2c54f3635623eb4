"""fairseq-train, fairseq-validate and weights-only checkpoints, as users type them."""

import re

import pytest
import torch
from fairseq_runs.commands import BIN, run
from toy_manifest import make_manifest

from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.networks.language_model.trained_system import load_trained_system

TRAIN = (
    *("--task", "ecg_qa", "--arch", "ecg_llm", "--criterion", "ecg_answer_cross_entropy"),
    *("--hidden-size", "32", "--num-layers", "1", "--num-heads", "2"),
    *("--num-key-value-heads", "2", "--intermediate-size", "64"),
    *("--tuning", "lora", "--lora-targets", "['q_proj','v_proj']", "--pairs-per-ecg", "2"),
    *("--optimizer", "adam", "--lr", "0.001", "--lr-scheduler", "inverse_sqrt"),
    *("--warmup-updates", "4", "--batch-size", "4", "--num-workers", "0", "--seed", "5"),
    *("--save-interval-updates", "4", "--log-format", "json", "--log-interval", "1"),
    *("--no-epoch-checkpoints", "--save-dir", "checkpoints"),
)


def _updates(output: str) -> list[int]:
    return [int(n) for n in re.findall(r'train_inner.*"num_updates": "(\d+)"', output)]


@pytest.mark.slow
def test_fairseq_train_trains_resumes_and_validates(tmp_path):
    manifest = make_manifest(tmp_path, 15).path
    user_dir = run([str(BIN / "ecg-fairseq"), "user-dir"], tmp_path).strip()
    command = [str(BIN / "fairseq-train"), str(manifest), "--user-dir", user_dir, *TRAIN]
    first = run([*command, "--max-update", "4"], tmp_path)
    assert _updates(first) == [1, 2, 3, 4]
    second = run([*command, "--max-update", "6"], tmp_path)
    assert _updates(second) == [5, 6]

    path = tmp_path / "checkpoints/checkpoint_last.pt"
    state = torch.load(path, weights_only=True)
    assert state["cfg"]["model"]["lora_targets"] == ["q_proj", "v_proj"]
    assert read_checkpoint_file(path)["optimizer_history"][-1]["num_updates"] == 6
    system = load_trained_system(path)
    assert (system.num_updates, system.model.config.tuning) == (6, "lora")

    validated = run(
        [
            *(str(BIN / "fairseq-validate"), str(manifest), "--user-dir", user_dir),
            *("--task", "ecg_qa", "--path", str(path), "--valid-subset", "valid,test"),
            *("--batch-size", "4", "--log-format", "json"),
        ],
        tmp_path,
    )
    losses = re.findall(r'"(valid|test)_loss": "([\d.]+)"', validated)
    assert [name for name, _ in losses] == ["valid", "test"]
    trained = re.findall(r'"valid_loss": "([\d.]+)"', second)[-1]
    assert float(losses[0][1]) == pytest.approx(float(trained), abs=2e-3)
