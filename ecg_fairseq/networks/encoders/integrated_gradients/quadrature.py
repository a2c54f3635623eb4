"""The integral behind integrated gradients, with as many points as it takes.

On the straight way from a baseline to a signal the integral of the gradient times the way is known:
it is the change of the function. So every piece of the way has a known error, and the pieces with
the largest ones are halved until the sum is right (Gauss-Legendre on each piece).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Sums are right within this share of the change; halving ends at this many points a baseline.
TOLERANCE = 0.005
MOST_POINTS = 256
_POINTS_OF_A_PIECE = 8
# Values in float32 are no more exact than this.
_ROUNDING = 2e-7


@dataclass(frozen=True)
class Explained:
    """A function of signals, as the integral asks for it.

    Attributes:
        values: (P, L, T) -> (P,).
        gradients: (P, L, T) -> (P, L, T).
    """

    values: Callable[[Tensor], Tensor]
    gradients: Callable[[Tensor], Tensor]


class _Piece(NamedTuple):
    """From ``low`` to ``high`` of the way from a baseline (0) to the signal (1)."""

    baseline: int
    low: float
    high: float
    value_low: float
    value_high: float


@dataclass(frozen=True)
class _Sum:
    """Attributions (L, T) of a piece, and by how much they miss the change of the function."""

    piece: _Piece
    attributions: Tensor
    error: float


def fixed_integral(
    explained: Explained, signal: Tensor, baselines: Tensor, num_points: int
) -> Tensor:
    """Return the mean attributions (L, T) over baselines, with so many points a baseline.

    Args:
        explained: the function.
        signal: (L, T).
        baselines: (N, L, T).
        num_points: at least 1.
    """
    maps = [
        _attributions(explained, signal, baseline, (0.0, 1.0), num_points) for baseline in baselines
    ]
    return torch.stack(maps).mean(0)


def whole_integral(explained: Explained, signal: Tensor, baselines: Tensor) -> tuple[Tensor, bool]:
    """Return the mean attributions (L, T) over baselines, and whether their sum is right.

    It is when it is the value of the signal less the mean value of the baselines, within
    :data:`TOLERANCE` of that. Arguments are those of :func:`fixed_integral`.
    """
    values = explained.values(torch.cat([signal[None], baselines])).double().tolist()
    gain = values[0] - float(np.mean(values[1:]))
    allowed = (TOLERANCE * abs(gain) + _ROUNDING) * len(baselines)
    ways = [_Piece(b, 0.0, 1.0, value, values[0]) for b, value in enumerate(values[1:])]
    sums, num_points = _halved(explained, signal, baselines, ways), 0
    while True:
        is_right = abs(sum(one.error for one in sums)) <= allowed
        num_points = len(sums) * _POINTS_OF_A_PIECE
        if is_right or num_points >= MOST_POINTS * len(baselines):
            return torch.stack([one.attributions for one in sums]).sum(0) / len(baselines), is_right
        sums.sort(key=lambda one: -abs(one.error))
        worst = _num_worst(sums, allowed / 2)
        pieces = [one.piece for one in sums[:worst]]
        sums = sums[worst:] + _halved(explained, signal, baselines, pieces)


def _num_worst(sums: Sequence[_Sum], allowed: float) -> int:
    """Return how many of the sums, the worst first, leave others whose errors are allowed."""
    left = np.cumsum([abs(one.error) for one in reversed(sums)])
    return max(1, len(sums) - int(np.searchsorted(left, allowed, side="right")))


def _halved(
    explained: Explained, signal: Tensor, baselines: Tensor, pieces: Sequence[_Piece]
) -> list[_Sum]:
    """Return the sums over both halves of each piece."""
    middles = [(piece.low + piece.high) / 2 for piece in pieces]
    points = [
        torch.lerp(baselines[piece.baseline], signal, middle)
        for piece, middle in zip(pieces, middles, strict=True)
    ]
    values = explained.values(torch.stack(points)).double().tolist()
    found = []
    for piece, middle, value in zip(pieces, middles, values, strict=True):
        first = piece._replace(high=middle, value_high=value)
        for half in (first, piece._replace(low=middle, value_low=value)):
            ends = (half.low, half.high)
            baseline = baselines[piece.baseline]
            map_ = _attributions(explained, signal, baseline, ends, _POINTS_OF_A_PIECE)
            error = float(map_.double().sum()) - (half.value_high - half.value_low)
            found.append(_Sum(half, map_, error))
    return found


def _attributions(
    explained: Explained,
    signal: Tensor,
    baseline: Tensor,
    ends: tuple[float, float],
    num_points: int,
) -> Tensor:
    """Return (L, T): the way times the integral of the gradient over a piece of it."""
    places, weights = np.polynomial.legendre.leggauss(num_points)
    low, high = ends
    total = torch.zeros_like(signal)
    for start in range(0, num_points, _POINTS_OF_A_PIECE):
        part = slice(start, start + _POINTS_OF_A_PIECE)
        shares = low + (high - low) * (places[part] + 1) / 2
        points = torch.stack([torch.lerp(baseline, signal, share) for share in shares.tolist()])
        weight = torch.from_numpy(weights[part] * (high - low) / 2).to(signal)
        total += torch.tensordot(weight, explained.gradients(points), dims=1)
    return (signal - baseline) * total
