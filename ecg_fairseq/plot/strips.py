"""A recipe's segment as the model receives it: median beats and rhythm strips on ECG paper."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.plot.layouts import PAGE_SECONDS
from ecg_fairseq.plot.paper import STANDARD_SCALE, Scale
from ecg_fairseq.plot.rows import Band, Trace, draw_rows
from ecg_fairseq.plot.spans import spans_on_strips
from ecg_fairseq.signal.recipe import Strip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP_MM = 5.0
_KIND_NAMES = {"lead": "", "median_beat": " beat", "rhythm": " rhythm"}


def plot_strips(
    values: np.ndarray,
    strips: Sequence[Strip],
    spans: np.ndarray | None = None,
    *,
    scale: Scale = STANDARD_SCALE,
    scores: np.ndarray | None = None,
    title: str = "",
) -> "Figure":
    """Draw one segment strip by strip to true scale.

    Args:
        values: the segment in mV, any shape; flattened in C order.
        strips: the recipe's flattening order.
        spans: of each token, as :func:`spans_on_strips` takes them, drawn as bars of alternating
            colour.
        scale: paper speed and gain.
        scores: one overlay value per symbol.
        title: the line above the grid.

    Raises:
        RecordError: values or scores do not fit the strips.
        TokenizerError: spans do not fit the strips.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    borders = np.cumsum([0, *(strip.num_samples for strip in strips)])
    overlay = None if scores is None else np.asarray(scores, dtype=np.float64).ravel()
    for name, array in (("values", flat), ("scores", overlay)):
        if array is not None and len(array) != borders[-1]:
            raise RecordError(f"{len(array)} {name} do not fit strips of {borders[-1]} samples")
    pieces = [] if spans is None else spans_on_strips(spans, strips)
    traces = []
    for number, (strip, (row, x_mm)) in enumerate(zip(strips, _places(strips, scale), strict=True)):
        part = slice(borders[number], borders[number + 1])
        bands = tuple(
            Band(piece.start / strip.fs_hz, piece.end / strip.fs_hz, piece.number)
            for piece in pieces
            if piece.strip == number
        )
        label = strip.lead + _KIND_NAMES.get(strip.kind, f" {strip.kind}")
        shades = None if overlay is None else overlay[part]
        traces.append(Trace(label, row, x_mm, flat[part], strip.fs_hz, shades, bands))
    rates = sorted({strip.fs_hz for strip in strips})
    footer = (
        f"{scale.speed_mm_s:g} mm/s   {scale.gain_mm_mv:g} mm/mV   "
        f"sampled at {', '.join(f'{rate:g}' for rate in rates)} Hz"
    )
    if spans is not None:
        footer += f"   bars: {len(spans)} tokens"
    return draw_rows(traces, scale, title, footer)


def _places(strips: Sequence[Strip], scale: Scale) -> list[tuple[int, float]]:
    """Return (row, x in mm) of each strip: left to right, a new row when the page is full."""
    page = PAGE_SECONDS * scale.speed_mm_s
    places, row, x_mm = [], 0, 0.0
    for strip in strips:
        width = strip.num_samples / strip.fs_hz * scale.speed_mm_s
        if x_mm > 0 and x_mm + width > page + 1e-6:
            row, x_mm = row + 1, 0.0
        places.append((row, x_mm))
        x_mm = -(-(x_mm + width + _GAP_MM) // 5.0) * 5.0
    return places
