"""Interleaved timing: every repeat runs each candidate once, so a busy spell hits all alike.

A single run per candidate, or all repeats of one before the next, says more about the neighbours
on a shared machine than about the code. The load average is recorded for the same reason.
"""

import gc
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Timings:
    """Seconds of each candidate, one entry per repeat.

    Attributes:
        wall_s: elapsed seconds by candidate name.
        cpu_s: processor seconds (user + system, all threads and finished children) by name.
        load_before: /proc/loadavg's three averages before the first repeat; None without /proc.
        load_after: the same after the last repeat.
    """

    wall_s: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: dict[str, list[float]] = field(default_factory=dict)
    load_before: list[float] | None = None
    load_after: list[float] | None = None

    def median_wall(self, name: str) -> float:
        """Return the median elapsed seconds of one candidate."""
        return statistics.median(self.wall_s[name])

    def ratio(self, name: str, baseline: str) -> float:
        """Return how many times faster ``name`` is than ``baseline`` (medians of elapsed time)."""
        return self.median_wall(baseline) / max(self.median_wall(name), 1e-12)

    def to_dict(self, baseline: str) -> dict[str, Any]:
        """Return the table as JSON values; ``times_as_fast`` is against ``baseline``."""
        rows = []
        for name, wall in self.wall_s.items():
            rows.append(
                {
                    "name": name,
                    "median_wall_s": self.median_wall(name),
                    "median_cpu_s": statistics.median(self.cpu_s[name]),
                    "min_wall_s": min(wall),
                    "max_wall_s": max(wall),
                    "times_as_fast": self.ratio(name, baseline),
                }
            )
        return {
            "baseline": baseline,
            "repeats": len(self.wall_s[baseline]),
            "timings": rows,
            "all_wall_s": self.wall_s,
            "all_cpu_s": self.cpu_s,
            "load_before": self.load_before,
            "load_after": self.load_after,
        }


def interleave(
    candidates: Mapping[str, Callable[[], Any]], repeats: int = 5, warm_up: int = 1
) -> Timings:
    """Time the candidates in turn, ``repeats`` rounds; odd rounds go in reverse order.

    Args:
        candidates: name -> a call that does the whole work to be timed.
        repeats: rounds that count.
        warm_up: rounds before them that do not (imports, caches, page faults).

    Raises:
        ValueError: no candidate, or fewer than one repeat.
    """
    if not candidates or repeats < 1:
        raise ValueError(f"{len(candidates)} candidates, {repeats} repeats: want 1 or more of each")
    timings = Timings({name: [] for name in candidates}, {name: [] for name in candidates})
    for _ in range(warm_up):
        for call in candidates.values():
            call()
    timings.load_before = load_average()
    for turn in range(repeats):
        order = list(candidates)
        for name in order if turn % 2 == 0 else reversed(order):
            gc.collect()
            wall, cpu = time.perf_counter(), _cpu_seconds()
            candidates[name]()
            timings.wall_s[name].append(time.perf_counter() - wall)
            timings.cpu_s[name].append(_cpu_seconds() - cpu)
    timings.load_after = load_average()
    return timings


def _cpu_seconds() -> float:
    """Return this process's and its finished children's user and system seconds so far."""
    return sum(os.times()[:4])


def load_average() -> list[float] | None:
    """Return the machine's load averages over 1, 5 and 15 minutes, or None without /proc."""
    try:
        return [float(word) for word in Path("/proc/loadavg").read_text().split()[:3]]
    except OSError:
        return None


def versions(packages: Iterable[str] = ("numpy", "torch")) -> dict[str, str | None]:
    """Return Python, processor count, and the versions of installed packages (None if absent)."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
    }
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found
