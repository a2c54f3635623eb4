"""Two processes (torchrun, gloo, CPU) equal one process that accumulates two batches (A4)."""

from pathlib import Path

import pytest
import torch
from toy_manifest import make_manifest

from fairseq_runs.commands import SMALL, curve, last_state, run, torchrun, train_command

COMMON = [
    *SMALL,
    "dataset.num_workers=0",
    "dataset.batch_size=4",
    "dataset.batch_size_valid=4",
    "common.log_interval=1",
    "lr_scheduler.warmup_updates=4",
    "lr_scheduler.lr_period_updates=12",
    "checkpoint.save_interval_updates=4",
    "dataset.validate_interval_updates=4",
]


def _logged_sums(folder: Path, name: str) -> dict[str, float]:
    """Return the unrounded averages behind the last lines of a log, from the checkpoint."""
    state = last_state(folder)
    return {
        key: float(meter["sum"]) / float(meter["count"])
        for _, key, kind, meter in state["extra_state"]["metrics"][name]
        if kind == "AverageMeter" and key in ("loss", "token_accuracy", "answer_accuracy", "gnorm")
    }


@pytest.mark.slow
def test_two_processes_equal_one_with_accumulation(tmp_path):
    manifest = make_manifest(tmp_path, 30)
    one = run(
        train_command(
            manifest.path, *COMMON, "optimization.update_freq=[2]", "optimization.max_update=12"
        ),
        tmp_path / "one",
    )
    first = run(
        torchrun(train_command(manifest.path, *COMMON, "optimization.max_update=8")),
        tmp_path / "two",
    )
    second = run(
        torchrun(train_command(manifest.path, *COMMON, "optimization.max_update=12")),
        tmp_path / "two",
    )
    expected, seen = curve(one), {**curve(first), **curve(second)}
    assert min(curve(second)) == 9, "the second run did not resume"
    assert sorted(seen) == sorted(expected) == list(range(1, 13))
    for update, (loss, _, _) in expected.items():
        assert float(seen[update][0]) == pytest.approx(float(loss), rel=1e-4)
    # The log is rounded; the checkpoints hold the averages of the last epoch in full.
    for name in ("train", "valid"):
        wanted = _logged_sums(tmp_path / "one", name)
        assert _logged_sums(tmp_path / "two", name) == pytest.approx(wanted, rel=1e-6)
    weights = [last_state(tmp_path / name)["model"] for name in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-4, atol=1e-6)
