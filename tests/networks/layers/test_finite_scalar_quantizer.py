"""Finite scalar quantization: any levels, ids by rounding, gradients straight through."""

import math

import pytest
import torch

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.layers.finite_scalar_quantizer import FiniteScalarQuantizer


@pytest.mark.parametrize("levels", [(6, 6, 6, 6), (8, 5, 5, 5), (2,), (3, 23), (7, 5, 2), (30, 24)])
def test_every_id_is_of_one_code(levels):
    quantizer = FiniteScalarQuantizer(levels)
    ids = torch.arange(math.prod(levels))
    codes = quantizer.levels_of(ids)
    assert quantizer.num_ids == len(ids) == len(torch.unique(codes, dim=0))
    assert torch.equal(quantizer.ids(codes), ids)
    assert codes.amax(0).tolist() == [number - 1 for number in levels]
    # dimension 0 is the least significant digit
    assert codes[1].tolist() == [1] + [0] * (len(levels) - 1)


@pytest.mark.parametrize("number", range(2, 33))
def test_levels_of_values_on_the_grid_are_these_levels(number):
    """Truncating instead of rounding loses a level here for 23, 24 and 30 levels."""
    quantizer = FiniteScalarQuantizer([number])
    levels = torch.arange(number)
    on_grid = quantizer.grid(levels.unsqueeze(1))
    again = quantizer(torch.logit(on_grid.double(), eps=1e-9))
    assert torch.equal(again.levels[:, 0], levels)
    assert torch.equal(quantizer.ids(again.levels), levels)


def test_values_are_bounded_rounded_half_to_even_and_differentiable():
    quantizer = FiniteScalarQuantizer([6, 3])
    values = torch.tensor([[0.0, 0.0], [9.0, -9.0], [0.2, 1.2]], requires_grad=True)
    code = quantizer(values)
    assert code.levels.tolist() == [[2, 1], [5, 0], [3, 2]]  # sigmoid(0) * 5 = 2.5 goes to 2
    torch.testing.assert_close(code.on_grid, quantizer.grid(code.levels))
    code.on_grid.sum().backward()
    bounded = torch.sigmoid(values.detach())
    torch.testing.assert_close(values.grad, bounded * (1 - bounded))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_quantized_in_float32(dtype):
    quantizer = FiniteScalarQuantizer([23, 30])
    values = torch.linspace(-4, 4, 500).reshape(-1, 2).to(dtype)
    code = quantizer(values)
    assert code.bounded.dtype == code.on_grid.dtype == torch.float32
    assert torch.equal(code.levels, quantizer(values.float()).levels)


@pytest.mark.parametrize("levels", [(), (6, 1), (0,), (300, 300, 300)])
def test_levels_that_make_no_code_are_refused(levels):
    with pytest.raises(EcgError, match="levels="):
        FiniteScalarQuantizer(levels)
