"""A killed run that is started again equals an uninterrupted one, to the last bit (A3)."""

import random

import pytest
from toy_manifest import make_manifest

from fairseq_runs.commands import (
    SMALL,
    assert_equal,
    curve,
    last_state,
    run,
    run_and_kill,
    train_command,
)

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

    final = [last_state(tmp_path / name) for name in ("whole", "killed")]
    assert_equal(final[0]["model"], final[1]["model"])
    assert_equal(final[0]["last_optimizer_state"], final[1]["last_optimizer_state"])
