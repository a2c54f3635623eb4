"""One-dimensional inception blocks with a residual, as HeartLLM's tokenizer is made of.

Source: fact sheet heartllm.md, 1.3. The residual is added before normalization and activation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUM_GROUPS = 8
NEGATIVE_SLOPE = 0.01
_KERNELS = (3, 5, 7)


class Inception(nn.Module):
    """Convolutions of three widths and a pooled one side by side, a quarter of the width each.

    Args:
        in_width: channels of the input.
        width: channels of the output, a multiple of 4.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        part = width // 4
        self.b1, self.b2, self.b3 = (
            nn.Conv1d(in_width, part, kernel, padding=kernel // 2, bias=False)
            for kernel in _KERNELS
        )
        self.b4 = nn.Conv1d(in_width, part, 1, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """Return (B, width, T) of values (B, in_width, T)."""
        pooled = F.max_pool1d(values, 3, stride=1, padding=1)
        return torch.cat([self._wide(values), self.b4(pooled)], dim=1)

    def _wide(self, values: Tensor) -> Tensor:
        """Return the three convolutions as one, whose shorter kernels are filled with zeros.

        One pass over the values is faster than three.
        """
        longest = _KERNELS[-1]
        weight = torch.cat(
            [
                F.pad(branch.weight, [(longest - kernel) // 2] * 2)
                for branch, kernel in zip((self.b1, self.b2, self.b3), _KERNELS, strict=True)
            ]
        )
        return F.conv1d(values, weight, padding=longest // 2)


class ResidualInception(nn.Module):
    """An inception block, its residual, normalization of groups, and a leaky activation.

    Args:
        in_width: channels of the input; if they differ from ``width``, the residual is projected.
        width: channels of the output, a multiple of 8.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.inc = Inception(in_width, width)
        self.match = (
            nn.Identity() if in_width == width else nn.Conv1d(in_width, width, 1, bias=False)
        )
        self.norm = nn.GroupNorm(NUM_GROUPS, width)

    def forward(self, values: Tensor) -> Tensor:
        """Return (B, width, T) of values (B, in_width, T)."""
        summed = self.inc(values) + self.match(values)
        return F.leaky_relu(self.norm(summed), NEGATIVE_SLOPE, inplace=True)
