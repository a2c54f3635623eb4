"""Progress of a training run, with an estimate of the time left that fits byte-pair training.

Early merges touch millions of places and late ones a few, so merges per second say nothing. The
work left is estimated from the count of the latest merge, which falls about like 1 / rank.
"""

import json
import math
import sys
import time

from ecg_fairseq.progress import MODES

_SECONDS_BETWEEN_LINES = 2.0


class Reporter:
    """Prints to stderr: a bar on a terminal, JSON lines elsewhere, or nothing (``silent``)."""

    def __init__(self, wanted: int, num_symbols: int, done: int, mode: str = "auto") -> None:
        if mode not in MODES:
            raise ValueError(f"progress mode must be one of {MODES}, got {mode!r}")
        if mode == "auto":
            mode = "bar" if sys.stderr.isatty() else "json"
        self._mode = mode
        self._wanted = wanted
        self._num_symbols = num_symbols
        self._first = done
        self._start = self._last = time.monotonic()
        self._bar = None
        if mode == "bar":
            from tqdm import tqdm

            layout = (
                "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} merges [{elapsed}{postfix}]"
            )
            self._bar = tqdm(
                total=wanted, initial=done, desc="training", file=sys.stderr, bar_format=layout
            )

    def update(self, done: int, last_count: int) -> None:
        """Report ``done`` merges, the latest of which had ``last_count`` places."""
        now = time.monotonic()
        if self._mode == "silent" or now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        left = self.seconds_left(done, last_count, now - self._start)
        if self._bar is not None:
            self._bar.n = done
            self._bar.set_postfix_str(f"about {left:.0f} s left")
            return
        line = {"progress": "merges", "done": done, "total": self._wanted}
        print(json.dumps({**line, "seconds_left": round(left, 1)}), file=sys.stderr, flush=True)

    def seconds_left(self, done: int, last_count: int, seconds: float) -> float:
        """Return the expected seconds left after ``seconds`` of work."""
        if done == 0 or last_count == 0:
            return math.nan
        # work so far: one visit per symbol for the first index, then the places of every merge
        harmonic = math.log(done / max(self._first, 1)) + (self._first == 0)
        work_done = self._num_symbols + last_count * done * harmonic
        work_left = last_count * done * math.log(max(self._wanted, done) / done)
        return seconds * work_left / work_done

    def close(self) -> None:
        """Finish the bar."""
        if self._bar is not None:
            self._bar.close()
