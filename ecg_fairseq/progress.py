"""Progress in three modes: a bar for people, JSON lines for jobs, silence for tests.

Always on stderr, so that results on stdout stay clean; safe in worker processes (they use none).
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
MODES = ("auto", "bar", "json", "silent")
_SECONDS_BETWEEN_LINES = 5.0


def track(
    items: Iterable[Item], total: int | None, label: str, mode: str = "auto"
) -> Iterator[Item]:
    """Yield ``items`` while reporting count, rate and time left.

    Args:
        items: what to go through.
        total: how many there are, or None when unknown.
        label: what is being counted (``"records"``).
        mode: ``bar`` (tqdm), ``json`` (one object a line, at most one every 5 s), ``silent``, or
            ``auto``: a bar on a terminal, JSON lines elsewhere.
    """
    if mode == "auto":
        mode = "bar" if sys.stderr.isatty() else "json"
    if mode == "silent":
        yield from items
    elif mode == "bar":
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label, file=sys.stderr)
    else:
        yield from _json_lines(items, total, label)


def _json_lines(items: Iterable[Item], total: int | None, label: str) -> Iterator[Item]:
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            rate = done / (now - start)
            line = {"progress": label, "done": done, "total": total, "per_second": round(rate, 2)}
            if total is not None:
                line["seconds_left"] = round((total - done) / rate, 1)
            print(json.dumps(line), file=sys.stderr, flush=True)
