"""ArcFace against a plain loop; weights and labels that do not fit."""

import math

import pytest
import torch

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.layers import classification_losses


@pytest.mark.parametrize(("scale", "margin"), [(32.0, 0.5), (192.0, 1.0)])
def test_arcface_equals_its_definition(scale: float, margin: float) -> None:
    cosines = torch.tensor([[0.3, -0.2, 0.9], [-0.99, 0.1, 0.2], [0.5, 0.4, -0.6]])
    labels = [0, 0, 2]
    wanted = 0.0
    for row, label in zip(cosines.tolist(), labels, strict=True):
        theta = math.acos(row[label])
        shifted = math.cos(theta + margin)
        if row[label] <= math.cos(math.pi - margin):
            shifted = row[label] - margin * math.sin(margin)
        logits = [scale * (shifted if k == label else value) for k, value in enumerate(row)]
        top = max(logits)
        wanted += top + math.log(sum(math.exp(x - top) for x in logits)) - logits[label]
    found = classification_losses.arcface_loss(cosines, torch.tensor(labels), scale, margin)
    assert float(found) == pytest.approx(wanted, rel=1e-4)


def test_arcface_gradient_is_finite_at_the_ends() -> None:
    cosines = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    classification_losses.arcface_loss(cosines, torch.tensor([0, 0])).backward()
    assert cosines.grad is not None
    assert bool(cosines.grad.isfinite().all())


@pytest.mark.parametrize("value", [math.inf, math.nan, 0.0, -1.0])
def test_label_without_positives_is_named(value: float) -> None:
    with pytest.raises(EcgError, match=r"pos_weight\[1\]"):
        classification_losses.positive_weights([2.0, value, 1.0], 3)


def test_numbers_of_weights_and_labels_must_agree() -> None:
    with pytest.raises(EcgError, match="2 values for 3 labels"):
        classification_losses.positive_weights([1.0, 2.0], 3)
    with pytest.raises(EcgError, match=r"\(4, 3\) but the labels are \(4, 5\)"):
        classification_losses.binary_cross_entropy(torch.zeros(4, 3), torch.zeros(4, 5))
