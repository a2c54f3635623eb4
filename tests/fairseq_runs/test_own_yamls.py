"""Users' own YAMLs, found with --config-dir: complete ones of before, and such that share ours."""

from pathlib import Path

import pytest
import torch
from ecg_fm_manifest import SMALL_ENCODER, SMALL_HEAD
from warm_processes import WarmProcess

from fairseq_runs.commands import BIN, environment

OWN = Path(__file__).parent / "own_yamls"
TWO_UPDATES = ("optimization.max_update=2", "dataset.batch_size=4")


def trained(name: str, segments: Path, folder: Path, *overrides: str) -> tuple[dict, str]:
    """Train as a user does; return the checkpoint and what was printed."""
    command = [str(BIN / "fairseq-hydra-train"), "--config-dir", str(OWN), "--config-name", name]
    command += [f"task.data={segments}", *SMALL_ENCODER, *overrides]
    result = WarmProcess(command, folder, environment()).wait()
    printed = result.stdout
    assert result.returncode == 0, printed
    return torch.load(folder / "checkpoints/checkpoint_last.pt", weights_only=True), printed


@pytest.mark.slow
def test_a_yaml_with_settings_that_went_still_trains_and_says_which_to_drop(segments, tmp_path):
    overrides = (*SMALL_HEAD, *TWO_UPDATES, "task.filter=false")
    state, printed = trained("of_an_earlier_version", segments, tmp_path, *overrides)
    assert state["optimizer_history"][-1]["num_updates"] == 2
    for name in ("task.filter", "task.bucket_selection", "criterion.eps", "model.all_gather"):
        assert name in printed
        group, key = name.split(".")
        assert key not in state["cfg"][group]
    assert "these settings do nothing and are left out" in printed
    overrides = (*SMALL_HEAD, *TWO_UPDATES, "task.filter=true")
    with pytest.raises(AssertionError, match=r"task\.filter=True is not supported: signals are"):
        trained("of_an_earlier_version", segments, tmp_path / "checkpoints", *overrides)


@pytest.mark.slow
def test_a_yaml_may_share_what_is_shipped(segments, tmp_path):
    state, _ = trained("with_shared_files", segments, tmp_path)
    cfg = state["cfg"]
    assert state["optimizer_history"][-1]["num_updates"] == 2
    assert cfg["distributed_training"]["ddp_backend"] == "legacy_ddp"
    assert cfg["task"]["enable_padding"] is True
    assert cfg["model"]["encoder_embed_dim"] == 32
    assert cfg["dataset"]["train_subset"] == "valid"
