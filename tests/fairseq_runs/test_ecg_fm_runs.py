"""ECG-FM's stages: killed runs resume exactly, and two processes equal one (D5)."""

import csv
import random
from pathlib import Path

import pytest
import torch
from ecg_fm_manifest import SMALL_ENCODER, SMALL_HEAD

from fairseq_runs.commands import (
    assert_equal,
    curve,
    last_state,
    run,
    run_and_kill,
    torchrun,
    train_command,
)

COMMON = ["common.log_interval=1", "dataset.batch_size=4"]
# Dropout is on everywhere; pretraining draws masks, codes, negatives and masked leads.
STAGES = {
    "w2v_cmsc_rlm_tiny": [*SMALL_ENCODER, *SMALL_HEAD],
    "diagnosis_tiny": [
        "model.dropout=0.1",
        "model.attention_dropout=0.1",
        "model.final_dropout=0.1",
        "task.perturbation_mode=[random_leads_masking]",
    ],
    "identification_tiny": ["model.dropout=0.1"],
}


def command_of(stage: str, segments: Path, pretrained: Path, *overrides: str) -> list[str]:
    start = [] if "w2v" in stage else [f"model.model_path={pretrained}"]
    return train_command(segments, *STAGES[stage], *start, *COMMON, *overrides, config=stage)


def csv_rows(folder: Path, part: str) -> list[dict[str, str]]:
    """Return the rows of a CSV of metrics without what depends on the clock."""
    path = folder / "checkpoints" / f"metrics_{part}.csv"
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [
        {k: v for k, v in row.items() if k not in ("ups", "wall", "train_wall")} for row in rows
    ]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["w2v_cmsc_rlm_tiny", "diagnosis_tiny"])
def test_killed_and_resumed_equals_uninterrupted(stage, segments, pretrained, tmp_path):
    command = command_of(
        stage,
        segments,
        pretrained,
        "dataset.num_workers=2",
        "optimization.max_update=40",
        "checkpoint.save_interval_updates=5",
        "dataset.validate_interval_updates=10",
    )
    whole = curve(run(command, tmp_path / "whole"))
    assert sorted(whole) == list(range(1, 41))
    rng = random.Random(7)
    for update in (rng.randint(6, 13), rng.randint(16, 24), rng.randint(27, 37)):
        run_and_kill(command, tmp_path / "killed", update)
    resumed = curve(run(command, tmp_path / "killed"))
    assert min(resumed) > 5, "the last run started anew instead of resuming"
    assert resumed == {update: whole[update] for update in resumed}
    final = [last_state(tmp_path / name) for name in ("whole", "killed")]
    assert_equal(final[0]["model"], final[1]["model"])
    assert_equal(final[0]["last_optimizer_state"], final[1]["last_optimizer_state"])
    # The CSV has every update once, whatever was killed.
    for part, length in (("train_inner", 40), ("valid", 8)):
        rows = [csv_rows(tmp_path / name, part) for name in ("whole", "killed")]
        assert len(rows[0]) == length
        assert rows[1] == rows[0]


def averages(folder: Path) -> dict[str, float]:
    """Return the unrounded averages behind the last epoch's line, from the checkpoint."""
    return {
        key: float(meter["sum"]) / float(meter["count"])
        for _, key, kind, meter in last_state(folder)["extra_state"]["metrics"]["train"]
        if kind == "AverageMeter" and meter["count"] and key.startswith(("loss", "acc", "gnorm"))
    }


def validations(folder: Path) -> dict[tuple[str, str], float]:
    """Return (update, name) -> value of the figures that do not depend on how batches are counted.

    The best value so far starts after the first.
    """
    return {
        (row["update"], name): float(value)
        for row in csv_rows(folder, "valid")
        for name, value in row.items()
        if row["update"] in ("4", "8", "12")
        and name not in ("update", "epoch")
        and not name.startswith("best")
    }


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_equal_one_with_accumulation(stage, segments, pretrained, tmp_path):
    overrides = (
        "dataset.num_workers=0",
        "checkpoint.save_interval_updates=4",
        "dataset.validate_interval_updates=4",
    )
    one = command_of(
        stage, segments, pretrained, *overrides, "optimization.update_freq=[2]",
        "optimization.max_update=12",
    )  # fmt: skip
    # tri_stage and cosine plan over max_update, so the first part is stopped, not shortened.
    two = command_of(stage, segments, pretrained, *overrides, "optimization.max_update=12")
    expected = curve(run(one, tmp_path / "one"))
    first = curve(run(torchrun([*two, "optimization.stop_time_hours=1e-9"]), tmp_path / "two"))
    second = curve(run(torchrun(two), tmp_path / "two"))
    assert min(second) > max(first) > 0, "the second run did not resume"
    seen = {**first, **second}
    assert sorted(seen) == sorted(expected) == list(range(1, 13))
    for update, (loss, _, _) in expected.items():
        assert float(seen[update][0]) == pytest.approx(float(loss), rel=1e-4), update
    assert averages(tmp_path / "two") == pytest.approx(averages(tmp_path / "one"), rel=1e-5)
    # The log rounds losses to three digits after the point.
    wanted = validations(tmp_path / "one")
    assert validations(tmp_path / "two") == pytest.approx(wanted, rel=1e-4, abs=1.1e-3)
    states = [last_state(tmp_path / name) for name in ("one", "two")]
    for key, weight in states[0]["model"].items():
        torch.testing.assert_close(states[1]["model"][key], weight, rtol=1e-4, atol=1e-6)
