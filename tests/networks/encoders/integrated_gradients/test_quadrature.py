"""Integrals of gradients whose truth is known on paper."""

import pytest
import torch
from torch import Tensor

from ecg_fairseq.networks.encoders.integrated_gradients import quadrature
from ecg_fairseq.networks.encoders.integrated_gradients.quadrature import (
    Explained,
    fixed_integral,
    whole_integral,
)

SIGNAL = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
BASELINES = torch.tensor([[[0.0, 1.0, 0.5], [2.0, 0.0, -1.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]]])


def explained(function) -> Explained:
    def gradients(points: Tensor) -> Tensor:
        leaf = points.clone().requires_grad_()
        return torch.autograd.grad(function(leaf).sum(), leaf)[0]

    return Explained(function, gradients)


def cubes(points: Tensor) -> Tensor:
    return points.pow(3).sum((1, 2))


def step(points: Tensor) -> Tensor:
    """Rises within a hundredth of the way from the first baseline; the second lies above it."""
    return torch.tanh(100 * (points.sum((1, 2)) - 3.2))


def test_additive_functions_get_each_samples_own_change() -> None:
    wanted = (SIGNAL.pow(3) - BASELINES.pow(3)).mean(0)
    found, is_right = whole_integral(explained(cubes), SIGNAL, BASELINES)
    assert is_right
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(fixed_integral(explained(cubes), SIGNAL, BASELINES, 2), wanted)
    torch.testing.assert_close(fixed_integral(explained(cubes), SIGNAL, BASELINES, 20), wanted)


def test_a_narrow_step_is_found_where_fixed_points_miss_it() -> None:
    wanted = float(step(SIGNAL[None])[0] - step(BASELINES).mean())
    assert wanted == pytest.approx(1.0)
    found, is_right = whole_integral(explained(step), SIGNAL, BASELINES)
    assert is_right
    assert float(found.sum()) == pytest.approx(wanted, rel=0.005)
    missed = fixed_integral(explained(step), SIGNAL, BASELINES, 16)
    assert abs(float(missed.sum()) - wanted) > 0.1


def test_points_are_limited_and_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadrature, "MOST_POINTS", 16)
    assert not whole_integral(explained(step), SIGNAL, BASELINES)[1]
