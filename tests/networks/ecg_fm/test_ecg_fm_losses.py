"""Losses against plain loops, and input they refuse."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.ecg_fm import losses


@pytest.fixture
def embeddings() -> Tensor:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.dot(one, other) / one.norm() / other.norm())


def test_cmsc_equals_its_definition(embeddings: Tensor) -> None:
    patients = [4, 4, 9, 9, 4, 4, 2, 2]
    segments = [0, 1, 0, 1, 1, 0, 0, 1]
    first = [i for i in range(8) if segments[i] == 0]
    second = [i for i in range(8) if segments[i] == 1]
    rows, columns = [], []
    for i in first:
        for j in second:
            if patients[i] != patients[j]:
                continue
            here = math.exp(cosine(embeddings[i], embeddings[j]) / 0.1)
            row = sum(math.exp(cosine(embeddings[i], embeddings[k]) / 0.1) for k in second)
            column = sum(math.exp(cosine(embeddings[k], embeddings[j]) / 0.1) for k in first)
            rows.append(-math.log(here / row))
            columns.append(-math.log(here / column))
    wanted = (sum(rows) / len(rows) + sum(columns) / len(columns)) / 2
    found = losses.cmsc_loss(embeddings, torch.tensor(patients), torch.tensor(segments))
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_cmsc_gradient_with_and_without_constant_norm(embeddings: Tensor) -> None:
    patients, segments = torch.arange(8) // 2, torch.arange(8) % 2
    gradients = []
    for detach_norm in (True, False):
        leaf = embeddings.clone().requires_grad_()
        losses.cmsc_loss(leaf, patients, segments, detach_norm=detach_norm).backward()
        gradients.append(leaf.grad)
    # The gradient of a cosine has no part along the vector; the published one has.
    along = [(gradient * embeddings).sum(1).abs().max() for gradient in gradients]
    assert float(along[0]) > 1e-3
    assert float(along[1]) < 1e-6


def test_cmsc_without_a_pair_is_refused(embeddings: Tensor) -> None:
    with pytest.raises(EcgError, match=r"8 first and 0 second"):
        losses.cmsc_loss(embeddings, torch.arange(8), torch.zeros(8, dtype=torch.long))


def test_cmsc_of_one_patient_is_finite(embeddings: Tensor) -> None:
    found = losses.cmsc_loss(embeddings, torch.zeros(8), torch.arange(8) % 2)
    assert bool(found.isfinite())


def test_simclr_and_3kg_equal_their_definition(embeddings: Tensor) -> None:
    wanted = 0.0
    for i in range(8):
        here = math.exp(cosine(embeddings[i], embeddings[i ^ 1]) / 0.1)
        others = sum(
            math.exp(cosine(embeddings[i], embeddings[k]) / 0.1) for k in range(8) if k != i
        )
        wanted -= math.log(here / others)
    assert float(losses.simclr_loss(embeddings)) == pytest.approx(wanted, rel=1e-5)
    found, num_terms = losses.three_kg_loss(embeddings, torch.arange(8) // 2)
    assert (float(found), num_terms) == (pytest.approx(wanted, rel=1e-5), 8)
    with pytest.raises(EcgError, match="two views"):
        losses.simclr_loss(embeddings[:7])
    with pytest.raises(EcgError, match="two views"):
        losses.three_kg_loss(embeddings, torch.arange(8))


def test_3kg_counts_every_positive_pair(embeddings: Tensor) -> None:
    patients = [0, 0, 0, 1, 1, 2, 2, 2]
    wanted, terms = 0.0, 0
    for i in range(8):
        others = sum(
            math.exp(cosine(embeddings[i], embeddings[k]) / 0.1)
            for k in range(8)
            if patients[k] != patients[i]
        )
        for j in range(8):
            if i != j and patients[i] == patients[j]:
                here = math.exp(cosine(embeddings[i], embeddings[j]) / 0.1)
                wanted -= math.log(here / (here + others))
                terms += 1
    found, num_terms = losses.three_kg_loss(embeddings, torch.tensor(patients))
    assert (float(found), num_terms) == (pytest.approx(wanted, rel=1e-5), terms)


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
    found = losses.arcface_loss(cosines, torch.tensor(labels), scale, margin)
    assert float(found) == pytest.approx(wanted, rel=1e-4)


def test_arcface_gradient_is_finite_at_the_ends() -> None:
    cosines = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    losses.arcface_loss(cosines, torch.tensor([0, 0])).backward()
    assert cosines.grad is not None
    assert bool(cosines.grad.isfinite().all())


@pytest.mark.parametrize("value", [math.inf, math.nan, 0.0, -1.0])
def test_label_without_positives_is_named(value: float) -> None:
    with pytest.raises(EcgError, match=r"pos_weight\[1\]"):
        losses.positive_weights([2.0, value, 1.0], 3)


def test_numbers_of_weights_and_labels_must_agree() -> None:
    with pytest.raises(EcgError, match="2 values for 3 labels"):
        losses.positive_weights([1.0, 2.0], 3)
    with pytest.raises(EcgError, match=r"\(4, 3\) but the labels are \(4, 5\)"):
        losses.binary_cross_entropy(torch.zeros(4, 3), torch.zeros(4, 5))


@pytest.mark.parametrize("infonce", [True, False])
def test_contrastive_loss_equals_its_definition(infonce: bool, build: Any, signals: Tensor) -> None:
    output = build("wav2vec2_cmsc").eval()(signals)
    wanted = 0.0
    for row in output.logits.flatten(0, 1).tolist():
        if infonce:
            top = max(row)
            wanted += top + math.log(sum(math.exp(x - top) for x in row)) - row[0]
        else:
            wanted += math.log1p(math.exp(-row[0]))
            wanted += sum(math.log1p(math.exp(x)) for x in row[1:] if x != -math.inf)
    terms = losses.wav2vec2_loss(output, infonce, 0.1, 10.0)
    num_terms = output.logits.shape[0] * output.logits.shape[1]
    assert terms.num_terms == num_terms
    assert float(terms.parts["contrastive"]) == pytest.approx(wanted, rel=1e-4)
    diversity = (12 - float(output.quantized.prob_perplexity)) / 12
    assert float(terms.parts["diversity"]) == pytest.approx(0.1 * diversity * num_terms, rel=1e-5)
    penalty = float(output.encoded.features_penalty)
    assert float(terms.parts["penalty"]) == pytest.approx(10 * penalty * num_terms, rel=1e-5)
    patients, segments = torch.arange(8) // 2, torch.arange(8) % 2
    joint = losses.wav2vec2_with_cmsc_loss(output, patients, segments, terms, 0.5)
    cmsc = losses.cmsc_loss(output.encoded.pooled, patients, segments)
    wanted_total = terms.total + 0.5 * cmsc * num_terms
    torch.testing.assert_close(joint.total, wanted_total)
