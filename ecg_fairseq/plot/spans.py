"""Which samples each ECG token covers, mapped from symbols to leads and seconds.

A token covers a run of symbols of the flattened segment; where strips (leads) adjoin, a token may
reach over the border, and it is then cut in two pieces with the same number. A token of all leads
has one piece on every strip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.signal.recipe import Strip


@dataclass(frozen=True)
class StripSpan:
    """Samples [start, end) of strip ``strip`` that token ``number`` covers."""

    strip: int
    start: int
    end: int
    number: int


@dataclass(frozen=True)
class LeadSpan:
    """Seconds of a lead that token ``number`` covers."""

    lead: str
    start_s: float
    end_s: float
    number: int


def spans_on_strips(spans: np.ndarray, strips: Sequence[Strip]) -> list[StripSpan]:
    """Cut token spans at the borders between strips.

    Args:
        spans: (S, 2) int64 [start, end) in symbols, in order; or (S, 3) int64 lead, start, end as
            :meth:`EcgTokens.spans` gives them, lead -1 for all.
        strips: the recipe's flattening order.

    Raises:
        TokenizerError: the spans reach beyond the strips.
    """
    spans = np.asarray(spans, dtype=np.int64)
    borders = np.cumsum([0, *(strip.num_samples for strip in strips)])
    if spans.ndim == 2 and spans.shape[1] == 3:
        return _lead_spans_on_strips(spans, strips, borders)
    return _symbol_spans_on_strips(spans.reshape(-1, 2), borders)


def _lead_spans_on_strips(
    spans: np.ndarray, strips: Sequence[Strip], borders: np.ndarray
) -> list[StripSpan]:
    """Lay spans (S, 3) on their strip, or on all where the lead is -1."""
    if len(spans) and not -1 <= spans[:, 0].min() <= spans[:, 0].max() < len(strips):
        raise TokenizerError(
            f"token spans name leads {spans[:, 0].min()} to {spans[:, 0].max()}, the recipe's "
            f"segment has {len(strips)}; tokens and recipe do not belong together"
        )
    of_all = spans[:, 0] < 0
    if not of_all.any():
        return _symbol_spans_on_strips(spans[:, 1:] + borders[spans[:, :1]], borders)
    if not of_all.all() or spans[:, 1:].max() > min(strip.num_samples for strip in strips):
        raise TokenizerError(
            "tokens of all leads must each lie within the shortest lead; tokens and recipe do not "
            "belong together"
        )
    return [
        StripSpan(strip, start, end, number)
        for number, (_, start, end) in enumerate(spans.tolist())
        for strip in range(len(strips))
    ]


def _symbol_spans_on_strips(spans: np.ndarray, borders: np.ndarray) -> list[StripSpan]:
    """Cut spans (S, 2) in symbols at the borders."""
    if len(spans) and (spans.min() < 0 or spans.max() > borders[-1]):
        raise TokenizerError(
            f"token spans reach from symbol {spans.min()} to {spans.max()}, the recipe's segment "
            f"has {borders[-1]}; tokenizer and recipe do not belong together"
        )
    pieces = []
    for number, (start, end) in enumerate(spans.tolist()):
        strip = int(np.searchsorted(borders, start, side="right")) - 1
        while start < end:
            stop = min(end, int(borders[strip + 1]))
            offset = int(borders[strip])
            pieces.append(StripSpan(strip, start - offset, stop - offset, number))
            start, strip = stop, strip + 1
    return pieces


def spans_on_leads(segment_spans: Sequence[np.ndarray], strips: Sequence[Strip]) -> list[LeadSpan]:
    """Lay the tokens of consecutive segments of one recording on its leads.

    Args:
        segment_spans: for each segment (S, 2) [start, end) in symbols; segments follow each other
            without a gap from the start of the recording.
        strips: all of kind ``lead``, hence all of one length in time.

    Raises:
        TokenizerError: a strip has no plain time axis; draw it with ``plot_strips``.
    """
    if not has_plain_time(strips):
        raise TokenizerError(
            "this recipe's segments have no plain time axis (median beats or strips of different "
            "length); their tokens can be drawn on the strips only"
        )
    length_s = strips[0].num_samples / strips[0].fs_hz
    found, first = [], 0
    for segment, spans in enumerate(segment_spans):
        for piece in spans_on_strips(spans, strips):
            strip = strips[piece.strip]
            origin = segment * length_s
            start, end = origin + piece.start / strip.fs_hz, origin + piece.end / strip.fs_hz
            found.append(LeadSpan(strip.lead, start, end, first + piece.number))
        first += len(spans)
    return found


def has_plain_time(strips: Sequence[Strip]) -> bool:
    """Return whether all strips are plain leads over the same stretch of time."""
    lengths = {strip.num_samples / strip.fs_hz for strip in strips}
    return len(lengths) == 1 and all(strip.kind == "lead" for strip in strips)
