"""Rows of traces on ECG paper, with overlays behind them.

A row is a horizontal band of the grid with one baseline on a 5 mm line, a calibration pulse at its
left end and one or more traces. Bands are as high as their signals need, within limits, so that
neighbours do not run into each other unless an amplitude is extreme.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecg_fairseq.plot.paper import (
    FAINT_COLOUR,
    GRID_MM,
    PULSE_MV,
    Page,
    Scale,
    draw_calibration_pulse,
    draw_trace,
    new_page,
    points,
    pulse_zone_mm,
    write_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAND_COLOURS = ("#1f77b4", "#f2a33a")
_LABEL_ROOM_MM = 5.0
_MIN_DOWN_MM = 5.0
_MAX_REACH_MM = 40.0
_BAND_HEIGHT_MM = 1.8


@dataclass(frozen=True)
class Band:
    """A token's stretch under a trace, in seconds from the trace's start; colours alternate."""

    start_s: float
    end_s: float
    number: int


@dataclass(frozen=True)
class Trace:
    """One labelled piece of signal in a row.

    Attributes:
        values: (n,) in mV.
        x_mm: where it starts, from the right end of the calibration zone.
        scores: (n,) overlay values, or None.
    """

    label: str
    row: int
    x_mm: float
    values: np.ndarray
    fs_hz: float
    scores: np.ndarray | None = None
    bands: tuple[Band, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration of the piece."""
        return len(self.values) / self.fs_hz


@dataclass(frozen=True)
class RowBand:
    """Where a row stands: its baseline and how far it reaches, in page mm."""

    baseline: float
    up: float
    down: float


def draw_rows(traces: Sequence[Trace], scale: Scale, header: str, footer: str) -> "Figure":
    """Draw all traces on one page and return the figure."""
    num_rows = 1 + max(trace.row for trace in traces)
    reaches = [_reach(traces, row, scale) for row in range(num_rows)]
    zone = pulse_zone_mm(scale.speed_mm_s)
    ends = [trace.x_mm + trace.seconds * scale.speed_mm_s for trace in traces]
    width = _up_to_squares(zone + max(ends))
    page = Page(max(width, 60.0), sum(up + down for up, down in reaches))
    figure, axes = new_page(page)
    bands, top = [], page.grid_top
    for up, down in reaches:
        bands.append(RowBand(top - up, up, down))
        top -= up + down
    limit = score_limit(trace.scores for trace in traces)
    for band in bands:
        draw_calibration_pulse(axes, page.left, band.baseline, scale.speed_mm_s, scale.gain_mm_mv)
    for trace in traces:
        _draw_one(axes, trace, bands[trace.row], page.left + zone + trace.x_mm, scale, limit)
    write_text(axes, page.left, page.grid_top + 4.0, header, height_mm=3.6, bold=True)
    write_text(axes, page.left, page.bottom - 5.5, footer, height_mm=3.0)
    if limit is not None:
        _draw_score_key(axes, page, limit)
    return figure


def _up_to_squares(length_mm: float) -> float:
    """Round up to whole 5 mm squares."""
    return math.ceil(length_mm / GRID_MM - 1e-9) * GRID_MM


def _reach(traces: Sequence[Trace], row: int, scale: Scale) -> tuple[float, float]:
    """Return how far a row reaches above and below its baseline, in whole 5 mm squares."""
    up, down = PULSE_MV * scale.gain_mm_mv, 0.0
    has_bands = False
    for trace in traces:
        if trace.row != row:
            continue
        finite = trace.values[np.isfinite(trace.values)]
        has_bands = has_bands or bool(trace.bands)
        if finite.size:
            up = max(up, float(finite.max()) * scale.gain_mm_mv)
            down = max(down, -float(finite.min()) * scale.gain_mm_mv)
    down = max(down + 1.0, _MIN_DOWN_MM) + (_BAND_HEIGHT_MM + 1.0 if has_bands else 0.0)
    return (
        min(_up_to_squares(up + _LABEL_ROOM_MM), _MAX_REACH_MM),
        min(_up_to_squares(down), _MAX_REACH_MM),
    )


def _draw_one(
    axes: "Axes", trace: Trace, band: RowBand, x_mm: float, scale: Scale, limit: "ScoreLimit | None"
) -> None:
    width = trace.seconds * scale.speed_mm_s
    if trace.scores is not None and limit is not None:
        extent = (x_mm, x_mm + width, band.baseline - band.down, band.baseline + band.up)
        draw_shading(axes, trace.scores, extent, limit)
    if trace.bands:
        _draw_bands(axes, trace, band, x_mm, scale)
    x = x_mm + np.arange(len(trace.values)) / trace.fs_hz * scale.speed_mm_s
    values = np.where(np.isfinite(trace.values), trace.values, np.nan)
    draw_trace(axes, x, band.baseline + values * scale.gain_mm_mv)
    axes.plot(
        [x_mm, x_mm],
        [band.baseline + band.up - 1.5, band.baseline + band.up - 5.0],
        color=FAINT_COLOUR,
        linewidth=points(0.2),
        zorder=4,
    )
    label_y = band.baseline + band.up - 4.2
    write_text(axes, x_mm + 1.0, label_y, trace.label, height_mm=3.4, bold=True)


def _draw_bands(axes: "Axes", trace: Trace, band: RowBand, x_mm: float, scale: Scale) -> None:
    """Draw one coloured bar per token at the foot of the row."""
    bottom = band.baseline - band.down + 0.5
    for parity, colour in enumerate(BAND_COLOURS):
        spans = [
            (
                x_mm + piece.start_s * scale.speed_mm_s,
                (piece.end_s - piece.start_s) * scale.speed_mm_s,
            )
            for piece in trace.bands
            if piece.number % 2 == parity
        ]
        axes.broken_barh(spans, (bottom, _BAND_HEIGHT_MM), facecolors=colour, zorder=3, linewidth=0)


@dataclass(frozen=True)
class ScoreLimit:
    """Scale of an overlay: the largest magnitude, and whether negative values occur."""

    largest: float
    is_signed: bool


def score_limit(scores: Iterable[np.ndarray | None]) -> ScoreLimit | None:
    """Return the common scale of several overlays; None when there is none."""
    present = [piece[np.isfinite(piece)] for piece in scores if piece is not None]
    if not present:
        return None
    values = np.concatenate(present)
    largest = float(np.abs(values).max()) if values.size else 0.0
    return ScoreLimit(largest, bool((values < 0).any()))


def score_colours(scores: np.ndarray, limit: ScoreLimit) -> np.ndarray:
    """Return (n, 4) RGBA: orange for positive, blue for negative, clearer towards zero."""
    share = np.zeros(len(scores))
    if limit.largest > 0:
        share = np.nan_to_num(scores / limit.largest, nan=0.0, posinf=1.0, neginf=-1.0)
    colours = np.empty((len(scores), 4))
    colours[:, :3] = np.where(share[:, None] < 0, (0.16, 0.42, 0.80), (0.96, 0.50, 0.05))
    colours[:, 3] = 0.85 * np.abs(share)
    return colours


def draw_shading(
    axes: "Axes",
    scores: np.ndarray,
    extent: tuple[float, float, float, float],
    limit: ScoreLimit,
) -> None:
    """Shade a rectangle (left, right, bottom, top in mm) by one score per sample."""
    axes.imshow(
        score_colours(scores, limit)[None],
        extent=extent,
        aspect="auto",
        interpolation="nearest",
        origin="lower",
        zorder=1,
    )


def _draw_score_key(axes: "Axes", page: Page, limit: ScoreLimit) -> None:
    """Draw the colour scale at the lower right."""
    low = -limit.largest if limit.is_signed else 0.0
    right, bottom, width = page.left + page.grid_width, page.bottom - 6.0, 40.0
    x_mm = right - width - 14.0
    values = np.linspace(low, limit.largest, 128)
    draw_shading(axes, values, (x_mm, x_mm + width, bottom, bottom + 3.0), limit)
    write_text(axes, x_mm - 1.0, bottom + 0.5, f"score {low:.3g}", height_mm=2.6, align="right")
    write_text(axes, x_mm + width + 1.0, bottom + 0.5, f"{limit.largest:.3g}", height_mm=2.6)
