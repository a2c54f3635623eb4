"""CMSC, SimCLR and 3KG against plain loops, and input they refuse."""

import math

import pytest
import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.layers import contrastive_losses


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
    found = contrastive_losses.cmsc_loss(embeddings, torch.tensor(patients), torch.tensor(segments))
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_cmsc_gradient_with_and_without_constant_norm(embeddings: Tensor) -> None:
    patients, segments = torch.arange(8) // 2, torch.arange(8) % 2
    gradients = []
    for detach_norm in (True, False):
        leaf = embeddings.clone().requires_grad_()
        contrastive_losses.cmsc_loss(leaf, patients, segments, detach_norm=detach_norm).backward()
        gradients.append(leaf.grad)
    # The gradient of a cosine has no part along the vector; the published one has.
    along = [(gradient * embeddings).sum(1).abs().max() for gradient in gradients]
    assert float(along[0]) > 1e-3
    assert float(along[1]) < 1e-6


def test_cmsc_without_a_pair_is_refused(embeddings: Tensor) -> None:
    with pytest.raises(EcgError, match=r"8 first and 0 second"):
        contrastive_losses.cmsc_loss(embeddings, torch.arange(8), torch.zeros(8, dtype=torch.long))


def test_cmsc_of_one_patient_is_finite(embeddings: Tensor) -> None:
    found = contrastive_losses.cmsc_loss(embeddings, torch.zeros(8), torch.arange(8) % 2)
    assert bool(found.isfinite())


def test_simclr_and_3kg_equal_their_definition(embeddings: Tensor) -> None:
    wanted = 0.0
    for i in range(8):
        here = math.exp(cosine(embeddings[i], embeddings[i ^ 1]) / 0.1)
        others = sum(
            math.exp(cosine(embeddings[i], embeddings[k]) / 0.1) for k in range(8) if k != i
        )
        wanted -= math.log(here / others)
    assert float(contrastive_losses.simclr_loss(embeddings)) == pytest.approx(wanted, rel=1e-5)
    found, num_terms = contrastive_losses.three_kg_loss(embeddings, torch.arange(8) // 2)
    assert (float(found), num_terms) == (pytest.approx(wanted, rel=1e-5), 8)
    with pytest.raises(EcgError, match="two views"):
        contrastive_losses.simclr_loss(embeddings[:7])
    with pytest.raises(EcgError, match="two views"):
        contrastive_losses.three_kg_loss(embeddings, torch.arange(8))


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
    found, num_terms = contrastive_losses.three_kg_loss(embeddings, torch.tensor(patients))
    assert (float(found), num_terms) == (pytest.approx(wanted, rel=1e-5), terms)
