"""A killed run that is started again equals an uninterrupted one, to the last bit (A3)."""

import random

import pytest
import torch
from toy_manifest import make_manifest

from fairseq_runs.commands import SMALL, curve, run, run_and_kill, train_command

OVERRIDES = [
    *SMALL,
    "model.tuning=lora",
    "model.lora_dropout=0.1",
    "model.attention_dropout=0.1",
    "dataset.num_workers=2",
    "dataset.batch_size=4",
    "task.pairs_per_ecg=2",
    "common.log_interval=1",
    "optimization.max_update=40",
    "lr_scheduler.warmup_updates=4",
    "lr_scheduler.lr_period_updates=40",
    "checkpoint.save_interval_updates=5",
    "dataset.validate_interval_updates=10",
]


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    manifest = make_manifest(tmp_path, 30)
    command = train_command(manifest.path, *OVERRIDES)
    whole = curve(run(command, tmp_path / "whole"))
    assert sorted(whole) == list(range(1, 41))

    rng = random.Random(7)
    kills = [rng.randint(6, 13), rng.randint(16, 24), rng.randint(27, 37)]
    for update in kills:
        run_and_kill(command, tmp_path / "killed", update)
    resumed = curve(run(command, tmp_path / "killed"))
    assert min(resumed) > 5, "the last run started anew instead of resuming"
    assert resumed == {update: whole[update] for update in resumed}

    final = [
        torch.load(tmp_path / name / "checkpoints/checkpoint_last.pt", weights_only=True)
        for name in ("whole", "killed")
    ]
    _assert_equal(final[0]["model"], final[1]["model"])
    _assert_equal(final[0]["last_optimizer_state"], final[1]["last_optimizer_state"])


def _assert_equal(first, second):
    """Compare nested containers; tensors must be bitwise equal."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            _assert_equal(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for left, right in zip(first, second, strict=True):
            _assert_equal(left, right)
    else:
        assert first == second
