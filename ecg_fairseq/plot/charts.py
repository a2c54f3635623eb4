"""Small charts as inline SVG: bars with intervals, and curves over updates.

Plain text in, plain text out: the charts need no scripts, no fonts and no files, so that a report
stays one file. Colours come from the page's style sheet by class.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Bar:
    """One share (0 to 1, None for not measured) with its interval; ``kind`` is a CSS class."""

    label: str
    value: float | None
    interval: tuple[float, float] | None = None
    kind: str = "model"


@dataclass(frozen=True)
class Series:
    """One curve of (x, y) points; ``kind`` is a CSS class."""

    label: str
    points: tuple[tuple[float, float], ...]
    kind: str = "train"


def bar_chart(bars: Sequence[Bar], width: int = 900) -> str:
    """Return horizontal bars on a 0 to 1 axis, with interval whiskers and values."""
    left, right, row, top = 140, 190, 40, 8
    span = width - left - right
    height = top + row * len(bars) + 26
    parts = [_open_svg(width, height, "Shares with 95 % intervals: " + _spoken(bars))]
    bottom = top + row * len(bars)
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        x = left + tick * span
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 18, f"{tick:.1f}", "middle", "tick"))
    for number, bar in enumerate(bars):
        middle = top + row * number + row / 2
        parts.append(_text(left - 12, middle + 5, bar.label, "end", "label"))
        parts += _one_bar(bar, left, span, middle)
    return "".join([*parts, "</svg>"])


def _one_bar(bar: Bar, left: float, span: float, middle: float) -> list[str]:
    if bar.value is None:
        return [_text(left + 8, middle + 5, "not measured", "start", "tick")]
    width = max(0.0, min(1.0, bar.value)) * span
    parts = [
        f'<rect class="bar {escape(bar.kind)}" x="{left}" y="{middle - 11:.1f}" '
        f'width="{width:.1f}" height="22" rx="3"/>'
    ]
    text = f"{bar.value:.3f}"
    if bar.interval is not None:
        low, high = (left + max(0.0, min(1.0, edge)) * span for edge in bar.interval)
        parts.append(
            f'<path class="whisker" d="M{low:.1f} {middle:.1f}H{high:.1f}'
            f'M{low:.1f} {middle - 6:.1f}v12M{high:.1f} {middle - 6:.1f}v12"/>'
        )
        text += f" [{bar.interval[0]:.3f}, {bar.interval[1]:.3f}]"
    parts.append(_text(left + span + 10, middle + 5, text, "start", "value"))
    return parts


def _spoken(bars: Sequence[Bar]) -> str:
    shares = ("not measured" if b.value is None else f"{b.value:.3f}" for b in bars)
    return "; ".join(f"{bar.label} {share}" for bar, share in zip(bars, shares, strict=True))


def line_chart(
    series: Sequence[Series], title: str, x_label: str = "update", width: int = 520
) -> str:
    """Return curves over a common x axis with round ticks and a legend."""
    left, right, top, bottom, height = 56, 16, 40, 40, 270
    drawn = [one for one in series if one.points]
    if not drawn:
        return ""
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    x_ticks, y_ticks = round_ticks(0.0, max(xs)), round_ticks(min(ys), max(ys))
    x_low, x_high = 0.0, max(max(xs), 1.0)
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_low) / (y_high - y_low)
        return left + across * (width - left - right), height - bottom - up * (
            height - top - bottom
        )

    parts = [_open_svg(width, height, f"{title} over {x_label}s")]
    parts.append(_text(left, 16, title, "start", "title"))
    for tick in y_ticks:
        _, y = place(0, tick)
        parts.append(
            f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}"/>'
        )
        parts.append(_text(left - 8, y + 4, f"{tick:g}", "end", "tick"))
    for tick in x_ticks:
        x, _ = place(tick, y_low)
        if tick <= x_high:
            parts.append(_text(x, height - bottom + 18, f"{tick:g}", "middle", "tick"))
    parts.append(_text(width - right, height - 6, x_label, "end", "tick"))
    legend_x = float(width - right)
    for one in reversed(drawn):
        legend_x -= 8.0 * len(one.label) + 34
        parts.append(_legend(legend_x, one))
    for one in drawn:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in one.points))
        parts.append(f'<polyline class="curve {escape(one.kind)}" points="{path}"/>')
        if len(one.points) <= 40:
            parts += [_dot(*place(*point), one.kind) for point in one.points]
    return "".join([*parts, "</svg>"])


def _legend(x: float, series: Series) -> str:
    kind = escape(series.kind)
    line = f'<line class="curve {kind}" x1="{x:.1f}" y1="12" x2="{x + 20:.1f}" y2="12"/>'
    return line + _text(x + 26, 16, series.label, "start", "tick")


def _dot(x: float, y: float, kind: str) -> str:
    return f'<circle class="dot {escape(kind)}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>'


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about ``count`` round values whose first and last enclose [low, high].

    >>> round_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if high <= low:
        high = low + max(abs(low) * 0.1, 1e-6)
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _open_svg(width: int, height: int, description: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{escape(description)}" xmlns="http://www.w3.org/2000/svg">'
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
