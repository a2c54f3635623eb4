"""Contrastive losses of pairs: an ECG with its text (cross-modal), two views of an ECG (uni-modal).

Radford et al., CLIP (ICML 2021); Liu et al., MERL (ICML 2024), who add both; the formulas are in
fact sheets ecg-encoder.md section 6 and ecg-byte.md section 4.2. Every row of a batch must find its
partner among all rows, in both directions. Negatives may come from all processes.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.layers.contrastive_losses import LossTerms, unit_rows

PUBLISHED_TEMPERATURE = 0.07
REDUCTIONS = ("sum", "mean")
GATHERS = ("none", "local", "all")


class Temperature(nn.Module):
    """The number that divides cosine similarities, fixed or learned.

    A learned one is kept as the logarithm of its inverse, as CLIP does, and is put back between its
    bounds at every training step, so that it can always move again.

    Args:
        start: temperature at first.
        is_learned: whether it is a parameter.
        minimum: a learned one never goes below.
        maximum: a learned one never goes above.

    Raises:
        EcgError: the bounds are not positive, or ``start`` is not between them.
    """

    def __init__(
        self,
        start: float = PUBLISHED_TEMPERATURE,
        is_learned: bool = False,
        minimum: float = 0.01,
        maximum: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 < minimum <= start <= maximum:
            raise EcgError(
                f"temperature {start} must be positive and between its bounds {minimum} and "
                f"{maximum}"
            )
        self.bounds = (-math.log(maximum), -math.log(minimum))
        log_scale = torch.tensor(-math.log(start))
        self.log_scale = nn.Parameter(log_scale, requires_grad=is_learned)

    def forward(self) -> Tensor:
        """Return the temperature, a scalar."""
        if self.training and self.log_scale.requires_grad:
            with torch.no_grad():
                self.log_scale.clamp_(*self.bounds)
        return (-self.log_scale.float()).exp()


def clip_loss(
    first: Tensor,
    second: Tensor,
    temperature: float | Tensor = PUBLISHED_TEMPERATURE,
    reduction: str = "sum",
    gather: str = "none",
) -> Tensor:
    """Return the cross-entropy of finding row i of the other side for row i, in both directions.

    Both directions are added, not halved, as MERL and ECG-Byte do.

    Args:
        first: (B, D); lengths of rows don't matter.
        second: (B, D), row i belongs to row i of ``first``.
        temperature: divides cosine similarities.
        reduction: ``sum`` over this process's rows, or their ``mean``.
        gather: ``none``: partners are sought in this process's batch. ``all`` and ``local``: in the
            batches of all processes. The sum over processes of losses and of gradients is that of
            one process with the whole batch. With ``all`` gradients are sent back to the rows they
            belong to, and a process computes its own rows only; with ``local`` every process
            computes the whole loss for the gradient of its own rows, and sends nothing back.

    Raises:
        EcgError: the shapes differ, or an option is unknown.
    """
    _check(first, second, reduction, gather)
    first, second = unit_rows(first), unit_rows(second)
    with torch.autocast(first.device.type, enabled=False):
        if gather == "none" or _num_processes() == 1:
            total = _both_directions(first, second, first, second, temperature)
        elif gather == "all":
            all_first, start = _gathered(first)
            all_second, _ = _gathered(second)
            total = _both_directions(first, second, all_first, all_second, temperature, start)
        else:
            total = _local_gradient(first, second, temperature)
    return total if reduction == "sum" else total / len(first)


@dataclass(frozen=True)
class PairedEmbeddings:
    """What a network of ECGs and texts gives to the loss; row i of each belongs to one ECG.

    Attributes:
        ecg: (B, D).
        text: (B, D).
        view_one: (B, E), of the same ECGs after one dropout, or None.
        view_two: (B, E), after another one, or None.
    """

    ecg: Tensor
    text: Tensor
    view_one: Tensor | None = None
    view_two: Tensor | None = None


def ecg_text_loss(
    embeddings: PairedEmbeddings,
    temperature: float | Tensor = PUBLISHED_TEMPERATURE,
    uni_modal_weight: float = 1.0,
    gather: str = "none",
) -> LossTerms:
    """Return MERL's loss: ECG and text find each other, and two views of the ECG do.

    Args:
        embeddings: of a batch.
        temperature: divides cosine similarities.
        uni_modal_weight: of the second term; 0, or no views, leaves it out.
        gather: see :func:`clip_loss`.

    Returns:
        sums over this process's rows ``cross_modal`` and ``uni_modal``, and the number of rows.
    """
    terms = {"cross_modal": clip_loss(embeddings.ecg, embeddings.text, temperature, gather=gather)}
    one, two = embeddings.view_one, embeddings.view_two
    if uni_modal_weight and one is not None and two is not None:
        terms["uni_modal"] = uni_modal_weight * clip_loss(one, two, temperature, gather=gather)
    return LossTerms.of_parts(terms, len(embeddings.ecg))


def _both_directions(
    first: Tensor,
    second: Tensor,
    all_first: Tensor,
    all_second: Tensor,
    temperature: float | Tensor,
    start: int = 0,
) -> Tensor:
    """Sum the cross-entropies of rows whose partners begin at ``start`` of all rows."""
    partner = start + torch.arange(len(first), device=first.device)
    to_second = functional.cross_entropy(
        first @ all_second.t() / temperature, partner, reduction="sum"
    )
    to_first = functional.cross_entropy(
        second @ all_first.t() / temperature, partner, reduction="sum"
    )
    return to_second + to_first


def _local_gradient(first: Tensor, second: Tensor, temperature: float | Tensor) -> Tensor:
    """Return the value of this process's rows, with the whole loss's gradient through them.

    The temperature's gradient is that of the own rows: it is added up over processes.
    """
    constant = temperature.detach() if isinstance(temperature, Tensor) else temperature
    all_first, start = _gathered(first.detach())
    all_second, _ = _gathered(second.detach())
    end = start + len(first)
    with_first = torch.cat([all_first[:start], first, all_first[end:]])
    with_second = torch.cat([all_second[:start], second, all_second[end:]])
    whole = _both_directions(with_first, with_second, with_first, with_second, constant)
    own = _both_directions(
        first.detach(), second.detach(), all_first, all_second, temperature, start
    )
    return own + whole - whole.detach()


def _check(first: Tensor, second: Tensor, reduction: str, gather: str) -> None:
    if first.ndim != 2 or first.shape != second.shape or not len(first):
        raise EcgError(
            f"a contrastive loss compares two tables (B, D) row by row, got {tuple(first.shape)} "
            f"and {tuple(second.shape)}"
        )
    for name, value, known in [("reduction", reduction, REDUCTIONS), ("gather", gather, GATHERS)]:
        if value not in known:
            raise EcgError(f"{name}={value!r} must be one of {', '.join(known)}")


def _num_processes() -> int:
    distributed = torch.distributed
    if not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size()


def _gathered(rows: Tensor) -> tuple[Tensor, int]:
    """Return the rows of all processes (N, D) in their order, and where one's own begin."""
    own_count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.zeros_like(own_count) for _ in range(_num_processes())]
    torch.distributed.all_gather(counts, own_count)
    sizes = [int(count) for count in counts]
    gathered: Tensor = _Gather.apply(rows, sizes)
    return gathered, sum(sizes[: torch.distributed.get_rank()])


class _Gather(torch.autograd.Function):
    """All processes' rows; the gradient of one's own is summed over processes.

    Torch's collectives want equal shapes, and batches need not be equal: each is filled up with
    rows that are cut off again.
    """

    @staticmethod
    def forward(context: Any, rows: Tensor, sizes: list[int]) -> Tensor:
        filled = functional.pad(rows, (0, 0, 0, max(sizes) - len(rows))).contiguous()
        tables = [torch.empty_like(filled) for _ in sizes]
        torch.distributed.all_gather(tables, filled)
        context.sizes = sizes
        return torch.cat([table[:size] for table, size in zip(tables, sizes, strict=True)])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous().clone()
        torch.distributed.all_reduce(gradient)
        rank = torch.distributed.get_rank()
        start = sum(context.sizes[:rank])
        return gradient[start : start + context.sizes[rank]], None
