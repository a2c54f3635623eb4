"""Pictures of ``analysis``: Zipf plot, tokens per record, compression, original and decoded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.files import atomic_write
from ecg_fairseq.tokenizer.analysis import Corpus, Usage
from ecg_fairseq.tokenizer.merges import NUM_BASE_IDS
from ecg_fairseq.tokenizer.tokenizer import EcgTokenizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")


def save_figure(figure: "Figure", path: Path | str) -> None:
    """Write a figure atomically; the ending of ``path`` chooses the format.

    Raises:
        TokenizerError: a format that pictures are not written in.
    """
    check_picture(path)
    with atomic_write(path, "wb") as stream:
        figure.savefig(stream, format=Path(path).suffix.lower().lstrip(".") or "png", dpi=130)


def check_picture(path: Path | str) -> None:
    """Refuse a picture's file name whose ending names no format; TokenizerError."""
    ending = Path(path).suffix.lower()
    if ending and ending not in FORMATS:
        raise TokenizerError(
            f"pictures are written as {', '.join(FORMATS)}, not {ending}: {path}; give another name"
        )


def usage_figure(
    usages: Sequence[Usage], curves: Sequence[list[dict[str, Any]]], tokenizer: EcgTokenizer
) -> "Figure":
    """Draw four panels: usage by rank, tokens per record, compression by merges, token lengths.

    Args:
        usages: one per corpus.
        curves: ``merge_curve`` of each corpus, in the same order.
        tokenizer: the one they were measured with.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    panels = figure.subplots(2, 2)
    for usage in usages:
        _draw_ranks(panels[0, 0], usage)
        panels[0, 1].hist(
            usage.tokens_per_record, bins=40, density=True, histtype="step", label=usage.name
        )
    for usage, curve in zip(usages, curves, strict=True):
        merges = [max(row["num_merges"], 0.5) for row in curve]
        panels[1, 0].plot(merges, [row["symbols_per_token"] for row in curve], label=usage.name)
    _draw_errors(panels[1, 0].twinx(), usages, curves)
    _draw_lengths(panels[1, 1], usages, tokenizer)
    _label(panels[0, 0], "rank of the token", "times used", "Token usage", "log", "log")
    _label(panels[0, 1], "tokens in a record", "density (1/token)", "Tokens per record")
    _label(panels[1, 0], "number of merges (0 drawn at 0.5)", "symbols per token", "Compression")
    panels[1, 0].set_xscale("log")
    panels[1, 0].legend(fontsize=8, loc="lower right")
    _label(panels[1, 1], "token length (symbols)", "share of tokens", "Token length", "log", "log")
    return figure


def _label(
    axes: "Axes", x: str, y: str, title: str, x_scale: str = "linear", y_scale: str = "linear"
) -> None:
    axes.set(xlabel=x, ylabel=y, title=title, xscale=x_scale, yscale=y_scale)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_ranks(axes: "Axes", usage: Usage) -> None:
    used = np.sort(usage.counts[usage.counts > 0])[::-1]
    axes.plot(np.arange(1, len(used) + 1), used, label=f"{usage.name}: {len(used)} ids used")


def _draw_errors(
    axes: "Axes", usages: Sequence[Usage], curves: Sequence[list[dict[str, Any]]]
) -> None:
    for usage, curve in zip(usages, curves, strict=True):
        if all("mean_abs_mv" in row for row in curve):
            merges = [max(row["num_merges"], 0.5) for row in curve]
            error = [1000 * row["mean_abs_mv"] for row in curve]
            axes.plot(merges, error, linestyle=":", label=f"{usage.name}, error")
    axes.set_ylabel("mean reconstruction error (uV), dotted")
    axes.set_ylim(bottom=0)


def _draw_lengths(axes: "Axes", usages: Sequence[Usage], tokenizer: EcgTokenizer) -> None:
    lengths = tokenizer.expansion_lengths(np.arange(tokenizer.num_ids))
    for usage in usages:
        by_length = np.bincount(lengths, weights=usage.counts.astype(np.float64))
        present = np.flatnonzero(by_length)
        axes.plot(present, by_length[present] / by_length.sum(), ".-", label=f"{usage.name}: used")
    vocabulary = np.bincount(lengths[NUM_BASE_IDS:])
    present = np.flatnonzero(vocabulary)
    share = vocabulary[present] / max(vocabulary.sum(), 1)
    axes.plot(present, share, "k--", linewidth=0.8, label="vocabulary")


def overlap_figure(rows: Sequence[dict[str, Any]], title: str) -> "Figure":
    """Draw ``vocabulary_overlap``: shared share of two vocabularies against number of merges."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    merges = [row["num_merges"] for row in rows]
    axes.plot(merges, [row["jaccard"] for row in rows], label="Jaccard index")
    axes.plot(merges, [row["shared"] / row["num_merges"] for row in rows], label="shared share")
    axes.set_ylim(0, 1.02)
    _label(axes, "number of merges", "share of tokens with equal spelling", title, "log")
    return figure


def reconstruction_figure(corpus: Corpus, num_samples: int = 1000) -> "Figure | None":
    """Draw the start of the first row, original over decoded; None for text."""
    from matplotlib.figure import Figure

    batch = next(Corpus(corpus.path, corpus.split, corpus.tokenizer, 1).batches())
    if batch.values is None:
        return None
    ids = corpus.tokenizer.encode_batch(batch.symbols)[0]
    original = batch.values[0][:num_samples]
    decoded = corpus.tokenizer.decode_signal(ids)[:num_samples]
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot(original, linewidth=0.9, label="original")
    upper.plot(decoded, linewidth=0.9, label=f"decoded from {len(ids)} tokens (whole segment)")
    lower.plot(decoded - original, linewidth=0.7, color="black", label="decoded - original")
    _label(upper, "", "mV", f"{corpus.name}: record {batch.records[0]}")
    _label(lower, "symbol", "mV", "")
    return figure
