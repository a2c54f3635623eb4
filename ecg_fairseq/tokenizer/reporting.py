"""Progress of a training run, with an estimate of the time left that fits byte-pair training.

Early merges touch millions of places and late ones a few hundred, so an average rate says nothing.
The time of a merge falls about like 1 / rank; the latest merges give the factor.
"""

import json
import math
import sys
import time

from ecg_fairseq.progress import MODES

_SECONDS_BETWEEN_LINES = 2.0


class Reporter:
    """Prints to stderr: a bar on a terminal, JSON lines elsewhere, or nothing (``silent``)."""

    def __init__(self, wanted: int, done: int, mode: str = "auto") -> None:
        if mode not in MODES:
            raise ValueError(f"progress mode must be one of {MODES}, got {mode!r}")
        if mode == "auto":
            mode = "bar" if sys.stderr.isatty() else "json"
        self._mode = mode
        self._wanted = wanted
        self._last_done = done
        self._last = time.monotonic()
        self._bar = None
        if mode == "bar":
            from tqdm import tqdm

            layout = (
                "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} merges [{elapsed}{postfix}]"
            )
            self._bar = tqdm(
                total=wanted, initial=done, desc="training", file=sys.stderr, bar_format=layout
            )

    def update(self, done: int) -> None:
        """Report that ``done`` merges stand."""
        now = time.monotonic()
        if self._mode == "silent" or now - self._last < _SECONDS_BETWEEN_LINES:
            return
        left = self.seconds_left(done, now)
        self._last, self._last_done = now, done
        if self._bar is not None:
            self._bar.n = done
            self._bar.set_postfix_str(f"about {left:.0f} s left")
            return
        line = {"progress": "merges", "done": done, "total": self._wanted}
        seconds = None if math.isnan(left) else round(left, 1)
        print(json.dumps({**line, "seconds_left": seconds}), file=sys.stderr, flush=True)

    def seconds_left(self, done: int, now: float) -> float:
        """Return the expected seconds left, NaN before there is anything to judge by."""
        if done == 0 or done <= self._last_done:
            return math.nan
        seconds_per_merge = (now - self._last) / (done - self._last_done)
        return seconds_per_merge * done * math.log(max(self._wanted, done) / done)

    def close(self) -> None:
        """Finish the bar."""
        if self._bar is not None:
            self._bar.close()
