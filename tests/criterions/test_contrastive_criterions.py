"""Criterions cmsc, simclr and 3kg: values against numpy, sample sizes, and what they log."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.layers.contrastive_losses import three_kg_loss

NAMES = ("cmsc", "simclr", "3kg")
# Patient 2 has two first segments and one second; patient 5 has no partner.
PATIENTS = np.array([7, 7, 2, 2, 5, 2])
SEGMENTS = np.array([0, 1, 0, 1, 0, 0])


class Pooled(torch.nn.Module):
    """Gives its input back as the encoder's pooled output, times a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4))

    def forward(self, source: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(pooled=source * self.weight)


def batch_of(seed: int = 0, num_rows: int = 6) -> dict[str, Any]:
    source = np.random.default_rng(seed).normal(size=(num_rows, 4)).astype(np.float32)
    return {
        "net_input": {"source": torch.from_numpy(source)},
        "patient_id": torch.from_numpy(PATIENTS[:num_rows]),
        "segment": torch.from_numpy(SEGMENTS[:num_rows]),
    }


def scores_of(batch: dict[str, Any], temperature: float) -> np.ndarray:
    """Exponentials of cosine similarities over temperature (B, B)."""
    rows = batch["net_input"]["source"].numpy().astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.exp(rows @ rows.T / temperature)


def cmsc_by_hand(batch: dict[str, Any], temperature: float) -> tuple[float, int]:
    scores = scores_of(batch, temperature)
    first, second = np.flatnonzero(SEGMENTS == 0), np.flatnonzero(SEGMENTS == 1)
    terms = []
    for i in first:
        for j in second[PATIENTS[second] == PATIENTS[i]]:
            terms.append(-math.log(scores[i, j] / scores[i, second].sum()) / 2)
            terms[-1] += -math.log(scores[i, j] / scores[first, j].sum()) / 2
    return float(np.mean(terms)) * len(PATIENTS), len(PATIENTS)


def simclr_by_hand(batch: dict[str, Any], temperature: float) -> tuple[float, int]:
    scores = scores_of(batch, temperature)
    np.fill_diagonal(scores, 0)
    partners = (1, 0, 3, 2, 5, 4)
    return sum(-math.log(scores[i, j] / scores[i].sum()) for i, j in enumerate(partners)), 6


def three_kg_by_hand(batch: dict[str, Any], temperature: float) -> tuple[float, int]:
    scores = scores_of(batch, temperature)
    total, terms = 0.0, 0
    for i in range(len(PATIENTS)):
        others = scores[i, PATIENTS[i] != PATIENTS].sum()
        for j in np.flatnonzero(PATIENTS[i] == PATIENTS):
            if i != j:
                total -= math.log(scores[i, j] / (scores[i, j] + others))
                terms += 1
    return total, terms


BY_HAND: dict[str, Callable[..., tuple[float, int]]] = dict(
    zip(NAMES, (cmsc_by_hand, simclr_by_hand, three_kg_by_hand), strict=True)
)


@pytest.mark.parametrize("temperature", [0.1, 0.7])
@pytest.mark.parametrize("name", NAMES)
def test_sum_and_number_of_terms_are_those_of_the_formula(
    name: str, temperature: float, make_criterion: Any
) -> None:
    criterion, batch = make_criterion(name=name, temp=temperature), batch_of()
    loss, num_terms, log = criterion(Pooled(), batch)
    wanted, wanted_terms = BY_HAND[name](batch, temperature)
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    assert num_terms == wanted_terms
    assert log == {"loss": loss, "nsignals": 6, "sample_size": wanted_terms}
    assert not log["loss"].requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_default_temperature_is_the_published_one(name: str, make_criterion: Any) -> None:
    loss = make_criterion(name=name)(Pooled(), batch_of())[0]
    assert loss.item() == pytest.approx(BY_HAND[name](batch_of(), 0.1)[0], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_along_the_gradient_makes_the_loss_smaller(name: str, make_criterion: Any) -> None:
    criterion, model = make_criterion(name=name), Pooled()
    before = criterion(model, batch_of())[0]
    before.backward()
    with torch.no_grad():
        model.weight -= 1e-3 * model.weight.grad / model.weight.grad.norm()
    assert criterion(model, batch_of())[0].item() < before.item()


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_logged_per_term_to_base_two(
    name: str, make_criterion: Any, reduced: Any
) -> None:
    criterion = make_criterion(name=name)
    logs = [criterion(Pooled(), batch_of(seed))[2] for seed in (0, 1)]
    logs.append({"loss": torch.tensor(90.0), "nsignals": 30, "sample_size": 24})
    by_hand = [BY_HAND[name](batch_of(seed), 0.1) for seed in (0, 1)]
    total = sum(loss for loss, _ in by_hand) + 90
    terms = sum(count for _, count in by_hand) + 24
    found = reduced(criterion, logs)
    assert found["loss"] == pytest.approx(total / terms / math.log(2), abs=5e-4)
    assert found["nsignals"] == 42
    # fairseq adds the logs of processes up before it hands them over.
    assert type(criterion).logging_outputs_can_be_summed()
    summed = {key: sum(float(log[key]) for log in logs) for key in logs[0]}
    assert reduced(criterion, [summed]) == found


@pytest.mark.parametrize("name", NAMES)
def test_a_step_without_segments_is_logged_as_no_loss(
    name: str, make_criterion: Any, reduced: Any
) -> None:
    assert reduced(make_criterion(name=name), [{}])["loss"] == 0


@pytest.mark.parametrize(
    ("name", "items", "views"),
    [
        ("cmsc", "cmsc_pairs", None),
        ("simclr", "two_views", "augmented"),
        ("3kg", "two_views", "3kg"),
    ],
)
def test_criterions_say_which_items_they_need(
    name: str, items: str, views: str | None, make_criterion: Any
) -> None:
    criterion = make_criterion(name=name)
    assert (criterion.items, getattr(criterion, "views", None)) == (items, views)


@pytest.mark.parametrize(("name", "rows"), [("cmsc", 1), ("simclr", 5), ("3kg", 1)])
def test_a_batch_without_a_pair_is_refused(name: str, rows: int, make_criterion: Any) -> None:
    with pytest.raises(EcgError, match=r"two (segments|views)"):
        make_criterion(name=name)(Pooled(), batch_of(num_rows=rows))


@pytest.mark.parametrize("name", NAMES)
def test_nsignals_of_a_pass_is_its_number_of_signals(
    name: str, make_criterion: Any, validate: Any
) -> None:
    batches = [batch_of(seed) for seed in range(3)]
    assert validate(make_criterion(name=name), Pooled(), batches)["nsignals"] == 18


def test_three_kg_names_its_pairs_by_recording() -> None:
    with pytest.raises(EcgError, match="two views of a recording"):
        three_kg_loss(torch.eye(4), torch.arange(4))
