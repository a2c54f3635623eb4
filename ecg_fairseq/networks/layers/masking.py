"""Which frames are hidden, and which serve as negatives: drawn for a whole batch at once.

The rules are those of fairseq-signals (fact sheet section 3.2); the numbers are not, because draws
come from torch's CPU generator instead of numpy's, which nothing restores on resume. Drawing on the
CPU also tells the number of masked frames without waiting for a GPU.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError

MIN_SPANS = 2


@dataclass(frozen=True)
class SpanRule:
    """How spans are drawn in a row.

    Attributes:
        prob: share of the row to mask, counted as if spans did not meet.
        length: of a span, in frames or channels.
        selection: how lengths spread: ``static``, ``uniform``, ``normal`` or ``poisson``.
        other: shortest span (uniform) or standard deviation (normal).
        no_overlap: keep spans at least ``min_space`` apart.
        min_space: see ``no_overlap``.
    """

    prob: float
    length: int
    selection: str = "static"
    other: float = 0.0
    no_overlap: bool = False
    min_space: int = 1


def draw_spans(
    num_rows: int,
    num_frames: int,
    rule: SpanRule,
    padding: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw masked spans, the same number of masked frames in each row.

    Args:
        num_rows: B.
        num_frames: F.
        rule: see :class:`SpanRule`.
        padding: bool (B, F) on the CPU, True at the padded end of rows; spans stay in front of it.
        generator: of random numbers, on the CPU; None for torch's own.

    Returns:
        bool (B, F) on the CPU.

    Raises:
        EcgError: a row is too short for any span, so no frame could be masked in any row.
    """
    if padding is None:
        sizes = torch.full((num_rows,), num_frames)
        luck = torch.rand(1, generator=generator).expand(num_rows)
    else:
        sizes = (~padding).sum(1)
        luck = torch.rand(num_rows, generator=generator)
    num_spans = (rule.prob * sizes / rule.length + luck).long().clamp_min(MIN_SPANS)
    lengths = _lengths(num_rows, int(num_spans.max()), rule, generator)
    if rule.no_overlap:
        starts, is_used = _separate_starts(sizes, num_spans, lengths, rule.min_space, generator)
    else:
        starts, is_used = _free_starts(sizes, num_spans, lengths, num_frames, generator)
    # +1 where a span starts, -1 where it ends: the running sum counts the spans over each frame.
    steps = torch.zeros(num_rows, num_frames + 1, dtype=torch.long)
    steps.scatter_add_(1, starts.clamp_max(num_frames), is_used.long())
    steps.scatter_add_(1, (starts + lengths).clamp_max(num_frames), -is_used.long())
    mask = steps.cumsum(1)[:, :num_frames] > 0
    mask &= torch.arange(num_frames) < sizes[:, None]
    return _thin_out(mask, generator)


def _lengths(
    num_rows: int, num_spans: int, rule: SpanRule, generator: torch.Generator | None
) -> Tensor:
    """Return span lengths (B, spans)."""
    shape = (num_rows, num_spans)
    if rule.selection == "uniform":
        return torch.randint(int(rule.other), rule.length * 2 + 1, shape, generator=generator)
    if rule.selection == "normal":
        normal = torch.randn(shape, generator=generator) * rule.other + rule.length
        return normal.round().long().clamp_min(1)
    if rule.selection == "poisson":
        return torch.poisson(torch.full(shape, float(rule.length)), generator=generator).long()
    return torch.full(shape, rule.length)


def _free_starts(
    sizes: Tensor,
    num_spans: Tensor,
    lengths: Tensor,
    num_frames: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Return different starts (B, spans), and which of them are used; spans may overlap."""
    shortest = lengths.min(1).values
    # In a short row the span gives way, so that the wanted number of starts still fits.
    shortest = torch.where(sizes - shortest <= num_spans, sizes - num_spans - 1, shortest)
    num_places = (sizes - shortest).clamp_max(sizes)
    order = torch.rand(len(sizes), num_frames, generator=generator)
    order = order.masked_fill(torch.arange(num_frames) >= num_places[:, None], torch.inf)
    starts = order.argsort(1)[:, : lengths.shape[1]]
    is_used = torch.arange(starts.shape[1]) < torch.minimum(num_spans, num_places)[:, None]
    missing = lengths.shape[1] - starts.shape[1]
    if missing > 0:
        starts = torch.nn.functional.pad(starts, (0, missing))
        is_used = torch.nn.functional.pad(is_used, (0, missing))
    return starts, is_used


def _separate_starts(
    sizes: Tensor,
    num_spans: Tensor,
    lengths: Tensor,
    min_space: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Return starts (B, spans) of spans that keep their distance, and which of them are used.

    The free room of a row is cut at random places; as many spans are used as fit.
    """
    needed = (lengths + min_space).cumsum(1) - min_space
    is_used = (torch.arange(lengths.shape[1]) < num_spans[:, None]) & (needed <= sizes[:, None])
    num_used = is_used.sum(1, keepdim=True)
    last = needed.gather(1, (num_used - 1).clamp_min(0))
    room = torch.where(num_used > 0, sizes[:, None] - last, 0)
    cuts = torch.rand(lengths.shape, generator=generator, dtype=torch.float64)
    cuts = cuts.masked_fill(~is_used, torch.inf).sort(1).values
    gaps = (cuts.masked_fill(~is_used, 0.0) * (room + 1)).long()
    return gaps + needed - lengths, is_used


def _thin_out(mask: Tensor, generator: torch.Generator | None) -> Tensor:
    """Unmask random frames until every row has as many as the poorest row."""
    num_kept = int(mask.sum(1).min())
    if num_kept < 1:
        raise EcgError(
            "a segment in the batch is too short to mask any of its frames; set "
            "task.min_sample_size to leave such segments out"
        )
    order = torch.rand(mask.shape, generator=generator).masked_fill(~mask, torch.inf)
    kept = order.argsort(1)[:, :num_kept]
    return torch.zeros_like(mask).scatter_(1, kept, True)


def masked_positions(mask: Tensor) -> Tensor:
    """Return the masked frames (B, M) of a mask (B, F) with M masked frames in each row.

    Raises:
        EcgError: the rows differ in their number of masked frames.
    """
    counts = mask.sum(1)
    if bool((counts != counts[0]).any()):
        raise EcgError(
            f"the rows of a mask must hide equally many frames, got {counts.tolist()[:8]}"
        )
    return mask.nonzero()[:, 1].view(len(mask), -1)


def draw_negatives(
    own: Tensor,
    row_length: int,
    num_same_row: int,
    num_whole_batch: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw frames as negatives, never the own one.

    Args:
        own: int64 (B, M) on the CPU, where each target stands in its row of candidates.
        row_length: P, candidates of each row.
        num_same_row: negatives of the same row.
        num_whole_batch: negatives of any row.
        generator: of random numbers, on the CPU; None for torch's own.

    Returns:
        int64 (B, M, negatives) on the CPU: indices into the B * P candidates of the batch.

    Raises:
        EcgError: there is no other frame to draw.
    """
    if num_same_row and row_length < 2:
        raise EcgError(
            f"{row_length} masked frame in each segment leaves no other one as a negative; use "
            "longer segments or raise model.mask_prob"
        )
    num_rows, num_targets = own.shape
    first = torch.arange(num_rows).view(num_rows, 1, 1) * row_length
    own = own.unsqueeze(-1)
    drawn = [torch.zeros(num_rows, num_targets, 0, dtype=torch.long)]
    if num_same_row:
        shape = (num_rows, num_targets, num_same_row)
        index = torch.randint(row_length - 1, shape, generator=generator)
        drawn.append(index + (index >= own) + first)
    if num_whole_batch:
        shape = (num_rows, num_targets, num_whole_batch)
        index = torch.randint(max(num_rows * row_length - 1, 1), shape, generator=generator)
        drawn.append(index + (index >= own + first))
    return torch.cat(drawn, 2)
