"""Metrics as CSV: one row an update, whatever was killed and started again."""

import csv
import json
import logging
from pathlib import Path

import pytest

from ecg_fairseq.evaluation.metrics_csv import MetricsFile, write_metrics_csv

LOGGER = logging.getLogger("fairseq.logging.progress_bar")


@pytest.fixture(autouse=True)
def quiet_afterwards():
    """Leave fairseq's logger as it was."""
    handlers, level = list(LOGGER.handlers), LOGGER.level
    LOGGER.setLevel(logging.INFO)
    yield
    LOGGER.handlers, LOGGER.level = handlers, level
    logging.getLogger().manager._clear_cache()


def point(update: int, **figures: float) -> dict[str, float]:
    return {"part": "train_inner", "update": update, "epoch": 1, **figures}


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_resumed_run_writes_its_rows_once(tmp_path):
    path = tmp_path / "m.csv"
    first = MetricsFile(path)
    for update in (1, 2, 3, 4, 5):
        first.add(point(update, loss=float(update)))
    resumed = MetricsFile(path)
    resumed.add(point(4, loss=40.0))
    resumed.add(point(5, loss=50.0))
    assert [row["loss"] for row in rows(path)] == ["1.0", "2.0", "3.0", "40.0", "50.0"]


def test_half_a_row_of_a_killed_run_is_dropped(tmp_path):
    path = tmp_path / "m.csv"
    MetricsFile(path).add(point(1, loss=1.0))
    with open(path, "a", encoding="utf-8") as stream:
        stream.write("2,1,0.5,7,8\nx")
    MetricsFile(path).add(point(3, loss=3.0))
    assert [row["update"] for row in rows(path)] == ["1", "3"]


def test_new_columns_are_added_and_old_ones_stay(tmp_path):
    path = tmp_path / "m.csv"
    metrics = MetricsFile(path)
    metrics.add(point(1, loss=1.0))
    metrics.add(point(2, loss=2.0, best=1.5))
    metrics.add(point(3, loss=3.0))
    assert [row["best"] for row in rows(path)] == ["", "1.5", ""]
    MetricsFile(path).add(point(4, other=9.0))
    assert rows(path)[0]["loss"] == "1.0"
    assert rows(path)[-1] == {"update": "4", "epoch": "1", "other": "9.0", "best": "", "loss": ""}


def test_lines_of_fairseqs_log_become_rows(tmp_path):
    lines = (
        {"epoch": 1, "update": 0.5, "loss": "2.5", "num_updates": "10"},
        {"epoch": 1, "valid_loss": "2.25", "valid_num_updates": "10"},
        {"epoch": 1, "test_loss": "2.25"},
    )
    for folder in ("first", "second"):
        write_metrics_csv(tmp_path / folder)
        write_metrics_csv(tmp_path / folder)
    (tmp_path / "second").mkdir()
    for line in lines:
        LOGGER.info(json.dumps(line))
    LOGGER.info("a sentence")
    assert rows(tmp_path / "second" / "metrics_train_inner.csv") == [
        {"update": "10", "epoch": "1", "loss": "2.5"}
    ]
    assert len(rows(tmp_path / "second" / "metrics_valid.csv")) == 1
    assert sorted(path.name for path in (tmp_path / "second").iterdir()) == [
        "metrics_train_inner.csv",
        "metrics_valid.csv",
    ]
    assert not (tmp_path / "first").exists()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    write_metrics_csv(tmp_path / "file")
    LOGGER.info(json.dumps({"epoch": 1, "loss": "2.5", "num_updates": "10"}))
    assert "metrics are no longer written as CSV: cannot write" in caplog.text
