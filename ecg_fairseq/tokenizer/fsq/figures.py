"""Pictures of ``usage``: ids by rank, levels, error by lead, a segment and its decoded form."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecg_fairseq.tokenizer.fsq.usage import FsqCorpus, FsqUsage, encoded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def usage_figure(usages: Sequence[FsqUsage]) -> "Figure":
    """Draw ids by rank, levels of each dimension and errors by lead; one colour a corpus."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    ranks, levels, errors = figure.subplots(3, 1)
    for number, usage in enumerate(usages):
        used = np.sort(usage.counts[usage.counts > 0])[::-1]
        label = f"{usage.name}: {len(used)} of {len(usage.counts)} ids used"
        ranks.plot(np.arange(1, len(used) + 1), used, label=label)
        shares = [one / max(one.sum(), 1) for one in usage.level_counts]
        heights = np.concatenate(shares)
        shift = 0.8 * number / len(usages)
        levels.bar(np.arange(len(heights)) + shift, heights, 0.8 / len(usages), label=usage.name)
        _draw_errors(errors, usage, shift, 0.8 / len(usages))
    names = [f"{d}.{v}" for d, one in enumerate(usages[0].level_counts) for v in range(len(one))]
    levels.set_xticks(range(len(names)), names, fontsize=7)
    ranks.set(xlabel="rank of the id", ylabel="times used", xscale="log", yscale="log")
    levels.set(xlabel="dimension.level", ylabel="share of tokens")
    errors.set(xlabel="lead", ylabel="root mean square error")
    for axes in (ranks, levels, errors):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    return figure


def _draw_errors(axes: "Axes", usage: FsqUsage, shift: float, width: float) -> None:
    if usage.errors is None:
        return
    unit = "mv" if "rmse_mv" in usage.errors else "sd"
    by_lead = usage.errors[f"rmse_{unit}_by_lead"]
    label = f"{usage.name} ({'mV' if unit == 'mv' else 'standard deviations'})"
    axes.bar(np.arange(len(by_lead)) + shift, list(by_lead.values()), width, label=label)
    axes.set_xticks(range(len(by_lead)), list(by_lead))


def reconstruction_figure(corpus: FsqCorpus) -> "Figure":
    """Draw all leads of the first segment, original and decoded, in mV where that is known."""
    from matplotlib.figure import Figure

    first = FsqCorpus(corpus.path, corpus.split, corpus.tokens, 1)
    record, segment, scaling, ids = next(encoded(first))
    decoded = corpus.tokens.decode(ids)
    unit = "sd"
    if scaling is not None:
        segment, decoded = in_mv(segment, scaling), in_mv(decoded, scaling)
        unit = "mV"
    strips = first.manifest().strips
    figure = Figure(figsize=(12, 1.2 * len(strips) + 0.8), layout="constrained")
    panels = figure.subplots(len(strips), 1, sharex=True, squeeze=False)[:, 0]
    for axes, strip, original, again in zip(panels, strips, segment, decoded, strict=True):
        seconds = np.arange(len(original)) / strip.fs_hz
        axes.plot(seconds, original, linewidth=0.8, color="black", label="original")
        axes.plot(seconds, again, linewidth=0.8, color="tab:red", label="decoded")
        axes.set_ylabel(f"{strip.lead} ({unit})")
    panels[0].legend(fontsize=8, ncols=2)
    panels[-1].set_xlabel("seconds")
    figure.suptitle(f"{corpus.name}: record {record}, {len(ids)} tokens")
    return figure


def in_mv(segment: np.ndarray, scaling: np.ndarray) -> np.ndarray:
    """Return a segment (L, T) in mV.

    Args:
        segment: in standard deviations.
        scaling: (L, 2), mean and deviation in mV of its leads.
    """
    return segment * scaling[:, 1:] + scaling[:, :1]
