"""Merge tracking: which token covers which samples of which lead, as JSON and as a picture.

ECG-Byte's own tool shows single letters only, by a defect (fact sheet, D5); this one uses the spans
of the real encoding.
"""

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.plot.spans import StripSpan, spans_on_strips
from ecg_fairseq.signal.recipe import Strip
from ecg_fairseq.tokenizer.ecg_tokens import EcgTokens
from ecg_fairseq.tokenizer.tokenizer import EcgTokenizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In place of a lead's name, where a token stands for the same samples of every lead.
ALL_LEADS = "all"
_GOLDEN_RATIO = 0.618033988749895


def manifest_segment(
    folder: Path, record_id: str, k: int
) -> tuple[np.ndarray, tuple[Strip, ...], str]:
    """Return segment ``k`` of a manifest's record in mV, its strips and the recipe's hash."""
    from ecg_fairseq.records.manifest.folder import Manifest

    manifest = Manifest.load(folder)
    recipe_hash = str(manifest.meta["recipe"].get("hash"))
    return manifest.segment(record_id, k).reshape(-1), manifest.strips, recipe_hash


def file_segment(
    path: Path, tokenizer: EcgTokens, k: int
) -> tuple[np.ndarray, tuple[Strip, ...], str]:
    """Return segment ``k`` of a recording, prepared with the tokenizer's recipe."""
    from ecg_fairseq.records.readers.any_format import read_record
    from ecg_fairseq.signal.recipes import recipe_from_description

    if tokenizer.recipe is None:
        raise TokenizerError("the tokenizer names no recipe; give --manifest and --record-id")
    recipe = recipe_from_description(tokenizer.recipe, "the tokenizer")
    record = read_record(path)
    segments = recipe.apply(record.signal, record.leads, record.fs_hz)
    if not 0 <= k < len(segments):
        raise TokenizerError(f"segment {k} asked for, {path} has {len(segments)}")
    return segments[k].reshape(-1), recipe.strips, recipe.hash()


def track_tokens(
    tokenizer: EcgTokens, values: np.ndarray, strips: Sequence[Strip]
) -> dict[str, Any]:
    """Return every token of one segment with the samples it covers.

    Args:
        tokenizer: of any kind; of ECG-BPE with a quantiser.
        values: (P,), one segment in the recipe's unit, strip after strip.
        strips: its layout.
    """
    ids, token_spans = _encoded(tokenizer, values, strips)
    if token_spans.shape[1] == 3 and len(ids) and (token_spans[:, 0] < 0).all():
        return _all_leads_tracked(ids, token_spans, values.size)
    pieces = spans_on_strips(token_spans, strips)
    num_of_all_leads = int((token_spans[:, 0] < 0).sum()) if token_spans.shape[1] == 3 else 0
    num_more = len(pieces) - len(ids) - num_of_all_leads * (len(strips) - 1)
    spans = [
        {
            "token": piece.number,
            "id": int(ids[piece.number]),
            "lead": strips[piece.strip].lead,
            "kind": strips[piece.strip].kind,
            "start": piece.start,
            "end": piece.end,
        }
        for piece in pieces
    ]
    starts = {piece.number: piece.strip for piece in reversed(pieces)}
    per_strip = np.bincount(list(starts.values()), minlength=len(strips))
    return {
        "num_tokens": len(ids),
        "num_symbols": values.size,
        "symbols_per_token": values.size / max(len(ids), 1),
        "tokens_crossing_strips": num_more,
        "tokens_of_all_leads": num_of_all_leads,
        "tokens_starting_in_strip": [
            {"lead": strip.lead, "kind": strip.kind, "tokens": int(count)}
            for strip, count in zip(strips, per_strip, strict=True)
        ],
        "spans": spans,
    }


def _all_leads_tracked(ids: np.ndarray, spans: np.ndarray, num_symbols: int) -> dict[str, Any]:
    """Return what tokens cover that each stand for all leads: one span a token, and no strips."""
    return {
        "num_tokens": len(ids),
        "num_symbols": num_symbols,
        "symbols_per_token": num_symbols / len(ids),
        "tokens_crossing_strips": 0,
        "tokens_of_all_leads": len(ids),
        "tokens_starting_in_strip": [],
        "spans": [
            {"token": number, "id": int(ids[number]), "lead": ALL_LEADS, "start": start, "end": end}
            for number, (start, end) in enumerate(spans[:, 1:].tolist())
        ],
    }


def _encoded(
    tokenizer: EcgTokens, values: np.ndarray, strips: Sequence[Strip]
) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and spans; an ECG-BPE tokenizer need not know the layout itself."""
    if isinstance(tokenizer, EcgTokenizer):
        ids = tokenizer.encode_signals(values.reshape(1, -1))[0]
        return ids, tokenizer.symbol_spans(ids)
    (ids,) = tokenizer.encode(values.reshape(1, len(strips), -1))
    return ids, tokenizer.spans(ids)


def tracking_figure(
    values: np.ndarray,
    strips: Sequence[Strip],
    tracked: dict[str, Any],
    leads: Sequence[str] | None = None,
) -> "Figure":
    """Draw the strips of ``leads`` (all by default), each with its tokens coloured by id below.

    Raises:
        TokenizerError: a lead that the layout does not have.
    """
    from matplotlib.figure import Figure

    names = [strip.lead for strip in strips]
    missing = [lead for lead in leads or () if lead not in names]
    if missing:
        raise TokenizerError(f"no lead {', '.join(missing)}; the segment has {', '.join(names)}")
    chosen = [i for i, name in enumerate(names) if leads is None or name in leads]
    figure = Figure(figsize=(12, 0.6 + 1.3 * len(chosen)), layout="constrained")
    panels = figure.subplots(len(chosen), 1, squeeze=False)[:, 0]
    borders = np.cumsum([0, *(strip.num_samples for strip in strips)])
    ids = {span["token"]: span["id"] for span in tracked["spans"]}
    pieces = [
        StripSpan(i, span["start"], span["end"], span["token"])
        for span in tracked["spans"]
        for i in chosen
        if span["lead"] == ALL_LEADS
        or (strips[i].lead, strips[i].kind) == (span["lead"], span["kind"])
    ]
    for axes, i in zip(panels, chosen, strict=True):
        _draw_strip(axes, values[borders[i] : borders[i + 1]], strips[i])
        _draw_pieces(axes, [piece for piece in pieces if piece.strip == i], ids, strips[i])
    panels[-1].set_xlabel("seconds")
    figure.suptitle(f"{tracked['num_tokens']} tokens for {tracked['num_symbols']} symbols")
    return figure


def _draw_strip(axes: "Axes", values: np.ndarray, strip: Strip) -> None:
    axes.plot(np.arange(len(values)) / strip.fs_hz, values, color="black", linewidth=0.8)
    axes.set_ylabel(strip.lead if strip.kind == "lead" else f"{strip.lead}\n{strip.kind}")
    axes.set_xlim(0, len(values) / strip.fs_hz)
    low, high = float(values.min()), float(values.max())
    height = max(high - low, 0.1)
    axes.set_ylim(low - 0.35 * height, high + 0.05 * height)


def _draw_pieces(
    axes: "Axes", pieces: Sequence[StripSpan], ids: dict[int, int], strip: Strip
) -> None:
    bottom, top = axes.get_ylim()
    height = 0.18 * (top - bottom)
    for piece in pieces:
        # the golden ratio spreads the hues of neighbouring ids as far apart as possible
        hue = ids[piece.number] * _GOLDEN_RATIO % 1.0
        axes.broken_barh(
            [(piece.start / strip.fs_hz, (piece.end - piece.start) / strip.fs_hz)],
            (bottom, height),
            facecolor=colorsys.hls_to_rgb(hue, 0.6, 0.8),
            edgecolor="white",
            linewidth=0.4,
        )
