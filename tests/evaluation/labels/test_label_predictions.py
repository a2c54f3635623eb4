"""The file of predictions: what is written is read, and damage is said."""

from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.labels.predictions import (
    LabelPredictions,
    read_label_predictions,
    write_label_predictions,
)

LOGITS = np.array([[-30.0, 0.25], [3.0, np.nan], [0.0, -700.0]])
TRUTH = np.array([[0, 1], [1, np.nan], [0, 0]], dtype=float)
LABELS = ("CLBBB|LBBB", 'the "normal" one')


def predictions(truth: np.ndarray | None = TRUTH) -> LabelPredictions:
    return LabelPredictions.from_logits(
        ("r1", "r2", "r3"), ("p1", "p1", "p2"), LABELS, LOGITS, truth
    )


@pytest.mark.parametrize("truth", [TRUTH, None])
def test_what_is_written_is_read(truth: np.ndarray | None, tmp_path: Path) -> None:
    path = tmp_path / "label_predictions.tsv"
    write_label_predictions(path, predictions(truth))
    found = read_label_predictions(path)
    assert found.record_ids == ("r1", "r2", "r3")
    assert found.patient_ids == ("p1", "p1", "p2")
    assert found.labels == LABELS
    wanted = 1 / (1 + np.exp(-LOGITS))
    assert np.allclose(found.probabilities, wanted, rtol=1e-12, atol=0, equal_nan=True)
    if truth is None:
        assert found.truth is None
    else:
        assert np.array_equal(found.truth, TRUTH, equal_nan=True)
    header = path.read_text().splitlines()[0].split("\t")
    assert header[:4] == ["record_id", "patient_id", *LABELS]
    assert header[4:] == ([] if truth is None else [f"true:{name}" for name in LABELS])


def test_order_of_logits_survives(tmp_path: Path) -> None:
    logits = np.sort(np.random.default_rng(0).uniform(-40, 30, 300))[:, None]
    ids = tuple(map(str, range(300)))
    write_label_predictions(
        tmp_path / "a.tsv", LabelPredictions.from_logits(ids, ids, ("x",), logits)
    )
    found = read_label_predictions(tmp_path / "a.tsv").probabilities[:, 0]
    assert (np.diff(found) > 0).all()


def test_no_recording_is_fine(tmp_path: Path) -> None:
    nothing = LabelPredictions((), (), LABELS, np.zeros((0, 2)), np.zeros((0, 2)))
    write_label_predictions(tmp_path / "a.tsv", nothing)
    assert read_label_predictions(tmp_path / "a.tsv").probabilities.shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("patient_id", "patient"), "does not have the columns"),
        (("true:CLBBB|LBBB", "true:other"), "for all of them or for none"),
        (("r2\tp1", "r2"), "line 3: 5 cells under 6"),
        (("0.5\t", "half\t"), "'half' is no probability"),
        (("0.5\t", "1.5\t"), "1.5 is no probability"),
        (("\t1\t\n", "\tyes\t\n"), "'yes' in a true: column"),
        (("r2", "r1"), "must be unique"),
    ],
)
def test_damage_is_said(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    write_label_predictions(path, predictions())
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(ScoreError, match=message):
        read_label_predictions(path)


def test_missing_and_empty_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="cannot be read"):
        read_label_predictions(tmp_path / "absent.tsv")
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(ScoreError, match="it has none"):
        read_label_predictions(tmp_path / "empty.tsv")


@pytest.mark.parametrize("labels", [("a", "a"), ("true:a", "b"), ("record_id", "b"), ("", "b")])
def test_labels_that_cannot_be_columns_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ScoreError, match="must be unique"):
        LabelPredictions(("r",), ("p",), labels, np.zeros((1, 2)))


def test_shapes_must_fit() -> None:
    with pytest.raises(ScoreError, match="do not fit"):
        LabelPredictions(("r",), ("p",), ("a",), np.zeros((1, 2)))
