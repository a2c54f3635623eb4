"""Criterion ecg_answer_cross_entropy against a loop over tokens, and the figures it logs."""

import math
from typing import Any

import numpy as np
import pytest
import torch

IGNORED = -100
NAME = "ecg_answer_cross_entropy"
NUM_ROWS = 7
# Two answers behind one prompt, then a single one and padding. Column 3 has no label in any row.
LABELS = np.array(
    [
        [IGNORED, IGNORED, 4, IGNORED, IGNORED, 1, 6],
        [IGNORED, IGNORED, IGNORED, IGNORED, 5, 6, IGNORED],
    ]
)
SEGMENTS = np.array([[0, 1, 1, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1, -1]])
NUM_TOKENS = 5


class Fixed(torch.nn.Module):
    """Gives the logits it was made with, at the positions asked for."""

    def __init__(self, logits: np.ndarray) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.from_numpy(logits).float())
        self.asked: list[int] = []

    def forward(
        self,
        input_ids: torch.Tensor,
        logits_to_keep: torch.Tensor,
        segment_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        self.asked = logits_to_keep.tolist()
        return self.logits[:, logits_to_keep]


def logits_with(right: set[tuple[int, int]], seed: int = 0) -> np.ndarray:
    """Random logits (B, S, V) whose likeliest token is the label at these places, else another."""
    logits = np.random.default_rng(seed).normal(size=(*LABELS.shape, NUM_ROWS))
    for row, place in zip(*np.nonzero(LABELS != IGNORED), strict=True):
        label = LABELS[row, place]
        best = label if (row, place) in right else (label + 1) % NUM_ROWS
        logits[row, place - 1, best] = 5
    return logits


def batch_of(with_segments: bool = True) -> dict[str, Any]:
    inputs = {"input_ids": torch.from_numpy(np.where(LABELS == IGNORED, 0, LABELS))}
    if with_segments:
        inputs["segment_ids"] = torch.from_numpy(SEGMENTS)
    return {
        "labels": torch.from_numpy(LABELS),
        "net_input": inputs,
        "ntokens": NUM_TOKENS,
        "nsentences": 2,
    }


def loss_by_hand(logits: np.ndarray) -> float:
    """Sum of -log p of every label, each given by the position before it."""
    total = 0.0
    for row, place in zip(*np.nonzero(LABELS != IGNORED), strict=True):
        scores = np.exp(logits[row, place - 1].astype(np.float32).astype(np.float64))
        total -= math.log(scores[LABELS[row, place]] / scores.sum())
    return total


def test_loss_is_the_sum_over_answer_tokens(make_criterion: Any) -> None:
    logits = logits_with({(0, 2)})
    model = Fixed(logits)
    loss, sample_size, log = make_criterion(name=NAME)(model, batch_of())
    assert loss.item() == pytest.approx(loss_by_hand(logits), rel=1e-5)
    assert sample_size == log["ntokens"] == log["sample_size"] == NUM_TOKENS
    assert log["nsentences"] == 2
    assert log["loss"].item() == loss.item()
    assert not log["loss"].requires_grad


def test_only_positions_before_a_label_are_asked_for_and_learn(make_criterion: Any) -> None:
    model = Fixed(logits_with(set()))
    loss, _, _ = make_criterion(name=NAME)(model, batch_of())
    loss.backward()
    assert model.asked == [1, 3, 4, 5]
    learns = model.logits.grad.abs().sum(-1).numpy() > 0
    np.testing.assert_array_equal(learns[:, :-1], LABELS[:, 1:] != IGNORED)
    assert not learns[:, -1].any()


@pytest.mark.parametrize(
    ("right", "answers"),
    [
        (set(), 0),
        ({(0, 2)}, 1),  # all of segment 1
        ({(0, 2), (0, 5)}, 1),  # half of segment 2 besides
        ({(0, 5), (0, 6), (1, 4)}, 1),
        ({(0, 2), (0, 5), (0, 6), (1, 4), (1, 5)}, 3),
    ],
)
def test_an_answer_is_right_when_all_its_tokens_are(
    right: set[tuple[int, int]], answers: int, make_criterion: Any
) -> None:
    log = make_criterion(name=NAME)(Fixed(logits_with(right)), batch_of())[2]
    assert int(log["right_tokens"]) == len(right)
    assert int(log["answers"]) == 3
    assert int(log["right_answers"]) == answers


def test_without_segments_a_row_is_one_answer(make_criterion: Any) -> None:
    model = Fixed(logits_with({(0, 2), (1, 4), (1, 5)}))
    log = make_criterion(name=NAME)(model, batch_of(with_segments=False))[2]
    assert (int(log["answers"]), int(log["right_answers"])) == (2, 1)


def test_steps_are_logged_per_token_and_per_answer(make_criterion: Any, reduced: Any) -> None:
    criterion = make_criterion(name=NAME)
    cases = [logits_with({(0, 2), (0, 5)}, 0), logits_with({(1, 4), (1, 5)}, 1), logits_with(set())]
    logs = [criterion(Fixed(logits), batch_of())[2] for logits in cases]
    found = reduced(criterion, logs)
    bits = sum(map(loss_by_hand, cases)) / (3 * NUM_TOKENS) / math.log(2)
    assert found["loss"] == pytest.approx(bits, abs=5e-5)
    assert found["ppl"] == pytest.approx(2**bits, rel=1e-4)
    assert found["token_accuracy"] == pytest.approx(100 * 4 / 15, abs=5e-3)
    assert found["answer_accuracy"] == pytest.approx(100 * 2 / 9, abs=5e-3)
    # fairseq adds the logs of processes up before it hands them over.
    assert type(criterion).logging_outputs_can_be_summed()
    summed = {key: sum(float(log[key]) for log in logs) for key in logs[0]}
    assert reduced(criterion, [summed]) == pytest.approx(found)


def test_a_hopeless_model_has_a_finite_perplexity(make_criterion: Any, reduced: Any) -> None:
    logits = np.zeros((*LABELS.shape, NUM_ROWS))
    logits[..., 0] = 1e4
    criterion = make_criterion(name=NAME)
    found = reduced(criterion, [criterion(Fixed(logits), batch_of())[2]])
    assert found["loss"] == pytest.approx(1e4 / math.log(2), rel=1e-4)
    assert found["ppl"] == 2.0**64
