"""Vector quantizer with Gumbel softmax (fact sheet section 3.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_LOG_FLOOR = 1e-7


@dataclass(frozen=True)
class Quantized:
    """Frames after quantisation.

    Attributes:
        frames: (B, F, width).
        codes: int64 (B, F, groups), the code of each group.
        prob_perplexity: exp of the entropy of the mean softmax, summed over groups; differentiable.
        code_perplexity: the same of the codes used.
    """

    frames: Tensor
    codes: Tensor
    prob_perplexity: Tensor
    code_perplexity: Tensor


class GumbelQuantizer(nn.Module):
    """Choose one learned vector a group.

    Args:
        num_in: width of the frames.
        num_codes: vectors of each group.
        num_groups: groups; their vectors are put side by side.
        width: of the result.
        temperature: first, last, and factor of each update.
    """

    def __init__(
        self,
        num_in: int,
        num_codes: int,
        num_groups: int,
        width: int,
        temperature: tuple[float, float, float],
    ) -> None:
        super().__init__()
        self.num_codes = num_codes
        self.num_groups = num_groups
        self.vars = nn.Parameter(torch.rand(1, num_groups * num_codes, width // num_groups))
        self.weight_proj = nn.Linear(num_in, num_groups * num_codes)
        nn.init.normal_(self.weight_proj.weight, mean=0.0, std=1.0)
        nn.init.zeros_(self.weight_proj.bias)
        self.first_temperature, self.last_temperature, self.decay = temperature
        self.temperature = self.first_temperature

    @property
    def num_vars(self) -> int:
        """Vectors of all groups; the largest possible sum of perplexities."""
        return self.num_codes * self.num_groups

    def set_num_updates(self, num_updates: int) -> None:
        """Cool down to the temperature of an update."""
        cooled = self.first_temperature * self.decay**num_updates
        self.temperature = max(cooled, self.last_temperature)

    def forward(self, frames: Tensor) -> Quantized:
        """Quantise frames (B, F, C): sampled in training, the likeliest code otherwise."""
        logits = self.weight_proj(frames).unflatten(-1, (self.num_groups, self.num_codes)).float()
        codes = logits.argmax(-1)
        flat = codes.flatten(0, -2)
        # Frames of each code and group; bincount would wait for the GPU.
        counts = torch.zeros(self.num_groups, self.num_codes, device=frames.device)
        counts.scatter_add_(1, flat.t(), torch.ones_like(flat.t(), dtype=counts.dtype))
        used = counts / len(flat)
        likely = logits.softmax(-1).flatten(0, -3).mean(0)
        book = self.vars.view(self.num_groups, self.num_codes, -1)
        if self.training:
            chosen = functional.gumbel_softmax(logits, tau=self.temperature, hard=True)
            codes = chosen.argmax(-1)
            parts = torch.einsum("bfgv,gvd->bfgd", chosen.type_as(frames), book.type_as(frames))
        else:
            parts = book[torch.arange(self.num_groups, device=codes.device), codes]
        return Quantized(parts.flatten(-2), codes, _perplexity(likely), _perplexity(used))

    def draw(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return random combinations of codes: vectors (*shape, width), codes (*shape, groups)."""
        codes = torch.randint(self.num_codes, (*shape, self.num_groups)).to(self.vars.device)
        book = self.vars.view(self.num_groups, self.num_codes, -1)
        return book[torch.arange(self.num_groups, device=codes.device), codes].flatten(-2), codes


def _perplexity(probabilities: Tensor) -> Tensor:
    """Return exp of the entropy of each row, summed over rows (groups)."""
    entropy = -(probabilities * (probabilities + _LOG_FLOOR).log()).sum(-1)
    return entropy.exp().sum()
