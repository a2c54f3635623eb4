"""Curves from fairseq's JSON log lines."""

import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.training_log import read_curves

INNER = '2025-01-01 10:00:01 | INFO | train_inner | {"epoch": 1, "update": 0.5, "loss": "4.5", '
VALID = '2025-01-01 10:00:02 | INFO | valid | {"epoch": 1, "valid_loss": "3.5", '
TRAIN = '2025-01-01 10:00:03 | INFO | train | {"epoch": 1, "train_loss": "4.0", '
RESUMED = '[2025-01-01 10:05:00][train_inner][INFO] - {"epoch": 2, "update": 1.5, '
LOG = f"""[2025-01-01 10:00:00,000][fairseq_cli.train][INFO] - {{'_name': None}}
{INNER}"ppl": "22.6", "num_updates": "10", "lr": "0.001"}}
{VALID}"valid_answer_accuracy": "0.25", "valid_num_updates": "20"}}
{TRAIN}"train_num_updates": "20", "train_wall": "nan"}}
{{"epoch": 2, "update": 1.5, "loss": "3.0", "num_updates": "30"}}
{RESUMED}"loss": "2.9", "num_updates": "30"}}
{{"epoch": 2, "truncated
{{"something": "else"}}
[1, 2]
"""


def test_points_of_all_parts(tmp_path):
    path = tmp_path / "train.log"
    path.write_text(LOG)
    points = read_curves(path)
    assert [(p["part"], p["update"]) for p in points] == [
        ("train", 20),
        ("train_inner", 10),
        ("train_inner", 30),
        ("valid", 20),
    ]
    train, first, resumed, valid = points
    assert train == {"part": "train", "update": 20, "epoch": 1, "loss": 4.0}
    assert (first["loss"], first["lr"]) == (4.5, 0.001)
    assert resumed["loss"] == 2.9
    assert valid["answer_accuracy"] == 0.25


def test_a_log_without_curves_is_explained(tmp_path):
    path = tmp_path / "train.log"
    path.write_text("nothing\n")
    with pytest.raises(ScoreError, match="log_format=json"):
        read_curves(path)
    with pytest.raises(ScoreError, match="cannot be read"):
        read_curves(tmp_path / "absent.log")
