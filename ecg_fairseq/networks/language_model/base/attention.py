"""Who may look at whom in packed sequences, for every kind of attention that a base may have.

Questions packed behind one copy of their ECG give the numbers of separate sequences only where a
base takes its positions and its mask from us. Bases with sliding windows do when the window is in
the mask; bases that count places themselves (ALiBi, fixed local windows, convolutions, state
spaces) do not. Which holds is not read off a list of families: the base is asked, on a few tokens.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError, first_line
from ecg_fairseq.networks.language_model.prompt import PREFIX_SEGMENT

_FULL, _SLIDING = "full_attention", "sliding_attention"
# Settings that bound what a token sees in a way that masks cannot be made for here.
_OTHER_BOUNDS = re.compile(r"window|chunk_size|local_attention|local_radius")
_UNDERSTOOD = (
    "sliding_window",
    "sliding_window_pattern",
    "use_sliding_window",
    "max_window_layers",
    "chunk_size_feed_forward",
)
# The probe: a shared prefix, two segments, and a window that is shorter than either.
_PREFIX, _SEGMENTS, _WINDOW = 7, (4, 5), 3
# Rounding alone stays below this share of the largest logit.
_ROUNDING = {torch.float32: 5e-5}
_COARSE_ROUNDING = 3e-2


@dataclass(frozen=True)
class AttentionRule:
    """What a base's layers see.

    Attributes:
        kernel: ``sdpa`` or ``eager``.
        window: tokens that a sliding layer sees, itself included; None where no layer slides.
        has_kinds: layers differ, so that the base takes one mask for each kind of layer.
        packs: several segments behind one prefix give the numbers of separate sequences.
    """

    kernel: str
    window: int | None = None
    has_kinds: bool = False
    packs: bool = True

    def mask(self, segment_ids: Tensor, position_ids: Tensor) -> Tensor | dict[str, Tensor]:
        """Return who may look at whom: the past in the prefix or the own segment.

        Args:
            segment_ids: (B, S) as in :mod:`prompt`.
            position_ids: (B, S); windows are counted in positions, so that what stands between a
                segment and its prefix does not count.

        Returns:
            (B, 1, S, S), or one such mask for each kind of layer: bool for sdpa, else numbers that
            are added to the scores.
        """
        length = segment_ids.shape[1]
        past = torch.ones(length, length, dtype=torch.bool, device=segment_ids.device).tril()
        keys, queries = segment_ids[:, None, :], segment_ids[:, :, None]
        allowed = (past & ((keys == PREFIX_SEGMENT) | (keys == queries))).unsqueeze(1)
        if self.window is None:
            return self._for_kernel(allowed)
        distance = position_ids[:, :, None] - position_ids[:, None, :]
        near = self._for_kernel(allowed & (distance < self.window).unsqueeze(1))
        return {_FULL: self._for_kernel(allowed), _SLIDING: near} if self.has_kinds else near

    def _for_kernel(self, allowed: Tensor) -> Tensor:
        if self.kernel == "sdpa":
            return allowed
        floor = torch.finfo(torch.float32).min
        return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, floor)


def attention_rule(llm: Any, name: str) -> AttentionRule:
    """Find out what a base's layers see, from its settings and from a few tokens.

    Args:
        llm: the base, its ECG rows added.
        name: of the base, for messages.

    Raises:
        EcgError: it cannot read a sequence, or its tokens see the ones behind them.
    """
    rule = _written_rule(llm)
    if llm.get_input_embeddings().weight.is_meta:
        return rule  # a shape without weights computes nothing that could be asked
    with _at_rest(llm), _short_window(llm):
        short = rule if rule.window is None else replace(rule, window=_WINDOW)
        probe = _Probe(llm)
        try:
            alone = probe.alone()
        except Exception as cause:
            raise EcgError(
                f"language model {name!r} fails on a sequence of {_PREFIX + max(_SEGMENTS)} "
                f"tokens ({type(llm).__name__}: {first_line(cause)}); its config.json contradicts "
                "itself, or this kind of model cannot be used here"
            ) from cause
        if not probe.looks_back_only(alone):
            raise EcgError(
                f"language model {name!r} ({type(llm).__name__}) lets tokens see the ones behind "
                "them, so it would read the answers that it learns to give; choose a model that "
                "looks back only"
            )
        return replace(rule, packs=rule.packs and probe.packs(short, alone))


def _written_rule(llm: Any) -> AttentionRule:
    """Read the rule off a base's settings."""
    shape = llm.config.get_text_config()
    kernel = "sdpa" if llm.config._attn_implementation == "sdpa" else "eager"
    kinds = set(getattr(shape, "layer_types", None) or ())
    window = getattr(shape, "sliding_window", None)
    if getattr(shape, "use_sliding_window", True) is False or (kinds and _SLIDING not in kinds):
        window = None
    bounds = [
        key
        for key, value in vars(shape).items()
        if _OTHER_BOUNDS.search(key)
        and key.lstrip("_") not in _UNDERSTOOD
        and isinstance(value, int)
        and value
    ]
    is_understood = kinds <= {_FULL, _SLIDING} and not bounds
    return AttentionRule(kernel, window, window is not None and bool(kinds), is_understood)


class _Probe:
    """A few tokens that tell what a base looks at."""

    def __init__(self, llm: Any) -> None:
        self.llm = llm
        table = llm.get_input_embeddings().weight
        self.tolerance = _ROUNDING.get(table.dtype, _COARSE_ROUNDING)
        length = _PREFIX + sum(_SEGMENTS)
        # Spread over the table, short of its ends, where special rows stand.
        places = torch.arange(1, length + 1, device=table.device) * table.shape[0]
        rows = places // (length + 2)
        self.prefix, *self.segments = rows.split((_PREFIX, *_SEGMENTS))

    def alone(self) -> list[Tensor]:
        """Return logits (S, V) of the prefix with each segment behind it, one at a time."""
        rows = [torch.cat([self.prefix, segment]) for segment in self.segments]
        return [self._logits(row, torch.arange(len(row), device=row.device)) for row in rows]

    def looks_back_only(self, alone: list[Tensor]) -> bool:
        """Tell whether the prefix has the same logits whatever stands behind it."""
        places = torch.arange(_PREFIX, device=self.prefix.device)
        bare = self._logits(self.prefix, places)
        return all(self._equal(logits[:_PREFIX], bare) for logits in alone)

    def packs(self, rule: AttentionRule, alone: list[Tensor]) -> bool:
        """Tell whether both segments behind one prefix have the logits of :meth:`alone`."""
        ids = torch.cat([self.prefix, *self.segments])
        counts = [torch.arange(n, device=ids.device) for n in (_PREFIX, *_SEGMENTS)]
        positions = torch.cat([counts[0], *(_PREFIX + count for count in counts[1:])])
        numbers = torch.cat([torch.full_like(count, k) for k, count in enumerate(counts)])
        mask = rule.mask(numbers[None], positions[None])
        try:
            packed = self._logits(ids, positions, mask)
        except Exception:
            # Families without a mask of ours refuse it in many ways; all mean the same.
            return False
        parts = packed[_PREFIX:].split(_SEGMENTS)
        return all(
            self._equal(part, logits[_PREFIX:]) for part, logits in zip(parts, alone, strict=True)
        )

    def _logits(self, ids: Tensor, positions: Tensor, mask: Any = None) -> Tensor:
        """Return the logits (S, V) of one sequence."""
        output = self.llm(
            input_ids=ids[None],
            position_ids=positions[None],
            attention_mask=mask,
            use_cache=False,
        )
        return output.logits[0].float()

    def _equal(self, first: Tensor, second: Tensor) -> bool:
        """Tell whether logits differ by rounding only."""
        worst = (first - second).abs().max()
        return bool(worst <= self.tolerance * second.abs().max())


@contextlib.contextmanager
def _at_rest(llm: Any) -> Iterator[None]:
    """Run the block without dropout, gradients and autocast."""
    training = [module for module in llm.modules() if module.training]
    llm.eval()
    device = llm.get_input_embeddings().weight.device.type
    try:
        with torch.no_grad(), torch.autocast(device, enabled=False):
            yield
    finally:
        for module in training:
            module.training = True


@contextlib.contextmanager
def _short_window(llm: Any) -> Iterator[None]:
    """Give the base a window that the probe's few tokens reach beyond, where it has any."""
    shape = llm.config.get_text_config()
    written = getattr(shape, "sliding_window", None)
    if written is None:
        yield
        return
    shape.sliding_window = _WINDOW
    try:
        yield
    finally:
        shape.sliding_window = written


def plain_rows(batch: Mapping[str, Tensor], row: int) -> tuple[Tensor, int]:
    """Return the segments of one packed row as sequences of their own.

    Args:
        batch: arrays (B, S) of :func:`prompt.pad_packed`.
        row: which of them.

    Returns:
        Rows (N, S') of prefix and segment, filled up at the right end with the row's last id, and
        the length of the prefix.
    """
    ids, segments = batch["input_ids"][row], batch["segment_ids"][row]
    prefix = ids[segments == PREFIX_SEGMENT]
    parts = [ids[segments == number] for number in range(1, int(segments.max()) + 1)]
    width = max(len(part) for part in parts)
    filled = [torch.cat([prefix, part, ids[-1:].expand(width - len(part))]) for part in parts]
    return torch.stack(filled), len(prefix)
