"""Curves of the pretraining as a picture: terms of the loss, accuracy, use of the codes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Panel -> figures of the log and what they are.
_PANELS = {
    "loss per masked frame": (
        ("loss", "sum"),
        ("loss_0", "contrastive"),
        ("loss_1", "code diversity"),
        ("loss_2", "convolution penalty"),
        ("loss_3", "CMSC"),
    ),
    "accuracy of the contrastive choice": (("accuracy", ""),),
    "code perplexity": (("code_perplexity", "codes used"), ("prob_perplexity", "mean choice")),
}
_STYLES = {"train_inner": "-", "valid": "o--"}


def draw_curves(points: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Write the picture.

    Args:
        points: of ``training_log.read_curves``.
        path: of the PNG file.
        title: above it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, figures) in zip(
        figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True
    ):
        _draw_panel(axes, points, figures)
        axes.set_title(name)
        axes.set_xlabel("update")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize="small")
    if any(point.get("loss", 0) > 0 for point in points):
        figure.axes[0].set_yscale("log")
    figure.suptitle(f"{title} (lines: training, dots: validation)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw_panel(
    axes: "Axes", points: Sequence[dict[str, Any]], figures: Sequence[tuple[str, str]]
) -> None:
    for number, (key, words) in enumerate(figures):
        for part, style in _STYLES.items():
            chosen = [point for point in points if point["part"] == part and key in point]
            if not chosen:
                continue
            updates = [point["update"] for point in chosen]
            label = words if part == "train_inner" else ""
            values = [point[key] for point in chosen]
            axes.plot(updates, values, style, color=f"C{number}", label=label, markersize=4)
