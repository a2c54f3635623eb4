"""Read curves from a log of ``fairseq-hydra-train`` with ``common.log_format: json``.

fairseq writes one JSON object a log line, with numbers as texts: ``train_inner`` lines have plain
keys (``loss``), the end of an epoch has ``train_loss``, validation has ``valid_loss``.
"""

import json
import math
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ScoreError

_PREFIXES = ("train", "valid")


def read_curves(path: Path | str) -> list[dict[str, Any]]:
    """Return the points of all curves, ordered by part and update.

    Each point is ``{"part": "train_inner" | "train" | "valid", "update": int, "epoch": int, ...}``
    with every numeric figure of its line under the name without prefix (``loss``,
    ``answer_accuracy``). After a resumed run the last line of an update counts.

    Raises:
        ScoreError: the log cannot be read or has no such line.
    """
    points: dict[tuple[str, int], dict[str, Any]] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                point = parse_point(line)
                if point is not None:
                    points[point["part"], point["update"]] = point
    except OSError as cause:
        raise ScoreError(f"the training log {path} cannot be read: {cause}") from cause
    if not points:
        raise ScoreError(
            f"{path} has no JSON lines of fairseq's training; train with common.log_format=json "
            "and common.log_file=FILE"
        )
    return [points[key] for key in sorted(points)]


def parse_point(line: str) -> dict[str, Any] | None:
    """Return the point on a log line (see :func:`read_curves`), or None where there is none."""
    start = line.find("{")
    if start < 0:
        return None
    try:
        stats = json.loads(line[start:])
    except (ValueError, RecursionError):
        return None
    if not isinstance(stats, dict):
        return None
    part = next((name for name in _PREFIXES if f"{name}_num_updates" in stats), "train_inner")
    prefix = "" if part == "train_inner" else f"{part}_"
    figures = {
        name.removeprefix(prefix): number
        for name, value in stats.items()
        if name.startswith(prefix) and (number := _number(value)) is not None
    }
    update = figures.pop("num_updates", None)
    if update is None:
        return None
    epoch = _number(stats.get("epoch")) or 0
    # `update` of a train_inner line is the fractional epoch, not a count of updates.
    figures.pop("update", None)
    figures.pop("epoch", None)
    return {"part": part, "update": int(update), "epoch": int(epoch), **figures}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
