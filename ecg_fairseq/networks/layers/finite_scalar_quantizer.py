"""Finite scalar quantization: every dimension of a code takes one of a few fixed levels.

As in HeartLLM (fact sheet heartllm.md, 1.3 and 1.4): a sigmoid bounds a value, and rounding puts it
on a grid from 0 to 1. There are no parameters, no codebook and no loss of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ecg_fairseq.errors import EcgError

# Ids are kept as uint32 by token caches, and are rows of a language model besides.
MAX_IDS = 1 << 24


@dataclass(frozen=True)
class QuantizedCode:
    """A code before and on the grid.

    Attributes:
        bounded: (..., D), between 0 and 1.
        levels: int64 (..., D), the level of every dimension.
        on_grid: (..., D), the levels between 0 and 1; gradients pass to ``bounded`` unchanged.
    """

    bounded: Tensor
    levels: Tensor
    on_grid: Tensor


class FiniteScalarQuantizer(nn.Module):
    """Rounds codes of D dimensions; the numbers of levels may be odd and may differ.

    Args:
        levels: number of levels of each dimension, 2 or more.

    Raises:
        EcgError: there is no dimension, fewer than two levels, or too many ids.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(int(number) for number in levels)
        if not self.levels or min(self.levels) < 2:
            raise EcgError(f"levels={list(levels)}: give two or more levels for each dimension")
        self.num_ids = math.prod(self.levels)
        if self.num_ids > MAX_IDS:
            raise EcgError(f"levels={list(levels)} make {self.num_ids:,} ids, at most {MAX_IDS:,}")

    @property
    def num_dimensions(self) -> int:
        """Number of dimensions D of a code."""
        return len(self.levels)

    def forward(self, values: Tensor) -> QuantizedCode:
        """Quantize values (..., D); float32 throughout, so that levels depend on no other type."""
        bounded = torch.sigmoid(values.float())
        steps = self._steps(bounded)
        levels = torch.round(bounded * steps)
        on_grid = bounded + (levels / steps - bounded).detach()
        return QuantizedCode(bounded, levels.detach().to(torch.int64), on_grid)

    def grid(self, levels: Tensor) -> Tensor:
        """Return float32 (..., D) between 0 and 1 of levels (..., D)."""
        return levels / self._steps(levels.float())

    def ids(self, levels: Tensor) -> Tensor:
        """Return int64 ids (...) of levels (..., D); dimension 0 is the least significant."""
        return (levels * levels.new_tensor(self._place_values())).sum(-1)

    def levels_of(self, ids: Tensor) -> Tensor:
        """Return int64 levels (..., D) of ids (...)."""
        places = ids.new_tensor(self._place_values())
        return ids.unsqueeze(-1) // places % ids.new_tensor(self.levels)

    def _place_values(self) -> list[int]:
        return [math.prod(self.levels[:place]) for place in range(len(self.levels))]

    def _steps(self, like: Tensor) -> Tensor:
        return like.new_tensor([number - 1 for number in self.levels])
