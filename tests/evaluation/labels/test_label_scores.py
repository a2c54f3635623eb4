"""Areas under curves by hand, and labels that have none."""

import numpy as np
import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.labels.auroc import label_scores

LABELS = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]])
SCORES = np.array([[0.9, 0.1, 0.3], [0.2, 0.8, 0.1], [0.1, 0.3, 0.2], [0.3, 0.9, 0.0]])


def area(labels: np.ndarray, scores: np.ndarray) -> float:
    """Share of (1, 0) pairs in the right order, ties half."""
    ones, zeros = scores[labels == 1], scores[labels == 0]
    gaps = ones[:, None] - zeros[None, :]
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())


def test_each_average_is_what_its_name_says() -> None:
    found = label_scores(LABELS, SCORES)
    assert found.auroc[0] == pytest.approx(area(LABELS[:, 0], SCORES[:, 0]))
    assert found.auroc[1] == pytest.approx(area(LABELS[:, 1], SCORES[:, 1]))
    assert found.auroc[:2].tolist() == pytest.approx([0.5, 2 / 3])
    assert found.auroc_macro == pytest.approx((0.5 + 2 / 3) / 2)
    assert found.auroc_micro == pytest.approx(area(LABELS.ravel(), SCORES.ravel()))
    # Rank of the ones from the top, 1 and 4 of 4 for label 0: (1/1 + 2/4) / 2.
    assert found.auprc[0] == pytest.approx(0.75)
    assert found.auprc[1] == pytest.approx(0.5)
    assert found.auprc_macro == pytest.approx(0.625)


def test_label_with_one_value_is_left_out_and_said() -> None:
    found = label_scores(LABELS, SCORES)
    assert np.isnan(found.auroc[2])
    assert np.isnan(found.auprc[2])
    assert found.num_scored == 2
    nothing = label_scores(np.zeros((4, 3)), SCORES)
    assert np.isnan([nothing.auroc_macro, nothing.auroc_micro, nothing.auprc_micro]).all()


def test_monotone_scores_change_nothing() -> None:
    one, other = label_scores(LABELS, SCORES), label_scores(LABELS, np.exp(3 * SCORES))
    assert one.auroc_micro == other.auroc_micro
    assert one.auprc_macro == other.auprc_macro


def test_wrong_shapes_and_numbers_are_refused() -> None:
    with pytest.raises(ScoreError, match="must be"):
        label_scores(LABELS, SCORES[:3])
    with pytest.raises(ScoreError, match="not finite"):
        label_scores(LABELS, np.where(SCORES > 0.5, np.nan, SCORES))


@pytest.mark.parametrize("wrong", [float("nan"), 2.0, -1.0, 0.5])
def test_labels_that_are_none_are_refused(wrong: float) -> None:
    labels = np.array([[0.0], [1.0], [wrong]])
    with pytest.raises(ScoreError, match="1 labels are neither 0 nor 1"):
        label_scores(labels, np.zeros((3, 1)))
