"""ECG paper to true scale: one axes over the whole page, measured in millimetres.

A figure printed at its own size, or shown at a known dpi, can be measured with a ruler: 1 mm on the
paper is dpi / 25.4 pixels. Colours and line widths follow thermal paper: fine 1 mm grid, heavier
5 mm grid, dark trace.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MM_PER_INCH = 25.4
GRID_MM = 5.0
PULSE_MV = 1.0
PULSE_SECONDS = 0.2
TRACE_COLOUR = "#141a24"
TEXT_COLOUR = "#2b3340"
FAINT_COLOUR = "#8a6f72"
PAPER_COLOUR = "#fffafa"
MINOR_COLOUR = "#f8d9d9"
MAJOR_COLOUR = "#eba9a9"
TRACE_WIDTH_MM = 0.28
FILE_FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Page:
    """A page with a grid area; all lengths in mm, the origin is the page's lower left corner."""

    grid_width: float
    grid_height: float
    left: float = 6.0
    bottom: float = 9.0
    right: float = 6.0
    top: float = 12.0

    @property
    def width(self) -> float:
        """Width of the whole page."""
        return self.left + self.grid_width + self.right

    @property
    def height(self) -> float:
        """Height of the whole page."""
        return self.bottom + self.grid_height + self.top

    @property
    def grid_top(self) -> float:
        """Upper edge of the grid area."""
        return self.bottom + self.grid_height


@dataclass(frozen=True)
class Scale:
    """Paper speed in mm/s and gain in mm/mV."""

    speed_mm_s: float = 25.0
    gain_mm_mv: float = 10.0


STANDARD_SCALE = Scale()


def points(millimetres: float) -> float:
    """Return a length in typographic points, matplotlib's unit of line widths.

    >>> round(points(25.4))
    72
    """
    return millimetres / MM_PER_INCH * 72.0


def new_page(page: Page) -> "tuple[Figure, Axes]":
    """Return an empty figure of the page's true size and its axes in mm, with the grid drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(page.width / MM_PER_INCH, page.height / MM_PER_INCH), dpi=MM_PER_INCH)
    FigureCanvasAgg(figure)
    figure.set_facecolor("white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0.0, page.width)
    axes.set_ylim(0.0, page.height)
    axes.set_autoscale_on(False)
    _draw_grid(axes, page)
    return figure, axes


def _draw_grid(axes: "Axes", page: Page) -> None:
    """Draw paper, 1 mm and 5 mm lines; the area's lower left corner is a 5 mm crossing."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    left, bottom = page.left, page.bottom
    axes.add_patch(
        Rectangle((left, bottom), page.grid_width, page.grid_height, color=PAPER_COLOUR, zorder=0)
    )
    right, top = left + page.grid_width, page.grid_top
    columns, rows = round(page.grid_width), round(page.grid_height)
    minor: list[list[tuple[float, float]]] = []
    major: list[list[tuple[float, float]]] = []
    for step in range(columns + 1):
        line = [(left + step, bottom), (left + step, top)]
        (minor if step % GRID_MM else major).append(line)
    for step in range(rows + 1):
        line = [(left, bottom + step), (right, bottom + step)]
        (minor if step % GRID_MM else major).append(line)
    for lines, colour, width in ((minor, MINOR_COLOUR, 0.12), (major, MAJOR_COLOUR, 0.2)):
        axes.add_collection(
            LineCollection(lines, colors=colour, linewidths=points(width), zorder=2)
        )


def draw_calibration_pulse(
    axes: "Axes", x_mm: float, y_mm: float, speed_mm_s: float, gain_mm_mv: float
) -> None:
    """Draw a pulse of 1 mV and 200 ms whose foot starts at ``x_mm`` on the baseline ``y_mm``."""
    foot, width, height = 2.0, PULSE_SECONDS * speed_mm_s, PULSE_MV * gain_mm_mv
    steps_x = [x_mm, x_mm + foot, x_mm + foot, x_mm + foot + width, x_mm + foot + width]
    steps_y = [y_mm, y_mm, y_mm + height, y_mm + height, y_mm]
    draw_trace(axes, [*steps_x, x_mm + 2 * foot + width], [*steps_y, y_mm])


def pulse_zone_mm(speed_mm_s: float) -> float:
    """Return the width kept free for the pulse at the left end of a row, in whole 5 mm squares."""
    squares = -(-(PULSE_SECONDS * speed_mm_s + 5.0) // GRID_MM)
    return squares * GRID_MM


def draw_trace(axes: "Axes", x_mm: ArrayLike, y_mm: ArrayLike) -> None:
    """Draw a signal line through points given in mm; NaN leaves a gap."""
    axes.plot(
        x_mm,
        y_mm,
        color=TRACE_COLOUR,
        linewidth=points(TRACE_WIDTH_MM),
        solid_joinstyle="round",
        solid_capstyle="butt",
        zorder=5,
    )


def write_text(
    axes: "Axes",
    x_mm: float,
    y_mm: float,
    text: str,
    *,
    height_mm: float = 3.0,
    bold: bool = False,
    align: str = "left",
) -> None:
    """Write one line of plain text (no TeX) with its base line at ``y_mm``, haloed in white."""
    from matplotlib.patheffects import withStroke

    axes.text(
        x_mm,
        y_mm,
        text,
        fontsize=points(height_mm),
        fontweight="bold" if bold else "normal",
        color=TEXT_COLOUR,
        ha=align,
        va="baseline",
        parse_math=False,
        zorder=7,
        path_effects=[withStroke(linewidth=points(0.6), foreground="white")],
    )


def save_figure(figure: "Figure", path: Path | str, dpi: float = 150.0) -> None:
    """Write a figure at its true size, atomically; the format follows the file's suffix.

    Raises:
        EcgError: the suffix is unknown or the file cannot be written.
    """
    from matplotlib import rc_context

    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in FILE_FORMATS:
        raise EcgError(
            f"pictures are written as {', '.join(FILE_FORMATS)}; {path} ends in {suffix!r}: choose "
            "another name"
        )
    # No dates and no random ids inside: the same figure gives the same bytes.
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix, {})
    with atomic_write(path, "wb") as stream, rc_context({"svg.hashsalt": "ecg_fairseq"}):
        figure.savefig(stream, format=suffix, dpi=dpi, metadata=dates)


def png_bytes(figure: "Figure", dpi: float = 110.0, num_colours: int = 64) -> bytes:
    """Return the figure as PNG with a palette, a quarter of the usual size, for embedding."""
    from PIL import Image

    whole = io.BytesIO()
    figure.savefig(whole, format="png", dpi=dpi)
    whole.seek(0)
    small = io.BytesIO()
    with Image.open(whole) as image:
        palette = image.convert("RGB").quantize(num_colours, dither=Image.Dither.NONE)
        palette.save(small, format="PNG", optimize=True)
    return small.getvalue()
