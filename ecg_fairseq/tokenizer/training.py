"""Training run: memory check, progress with time left, Ctrl-C that keeps the prefix, resuming."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.free_memory import free_memory
from ecg_fairseq.signal.compiled import compiled_core
from ecg_fairseq.tokenizer import twin
from ecg_fairseq.tokenizer.core import MODES
from ecg_fairseq.tokenizer.merges import MAX_MERGES
from ecg_fairseq.tokenizer.reporting import Reporter
from ecg_fairseq.tokenizer.tokenizer import EcgTokenizer
from ecg_fairseq.tokenizer.training_text import TrainingText

INTERRUPTED = "interrupted"
# Peaks measured with scripts/bench.py bpe-train: 11 to 18 bytes on ECG from 1.5 M to 150 M symbols.
# Text without structure needs more as merges multiply its pairs (43 at 30,000 merges of random
# letters). The twin holds Python objects.
BYTES_PER_SYMBOL = 20
BYTES_PER_SYMBOL_TWIN = 400
BASE_BYTES = 64 << 20
_SLICE_SECONDS = 0.25


@dataclass(frozen=True)
class TrainingOptions:
    """What to train.

    Attributes:
        num_merges: merges wanted.
        min_count: stop when no pair is this frequent.
        mode: encoding mode written into the tokenizer.
        num_threads: 0 means one per core; never changes the result.
    """

    num_merges: int
    min_count: int = 1
    mode: str = "greedy"
    num_threads: int = 0

    def validate(self) -> None:
        """Raise TokenizerError naming the flag that is out of range."""
        if not 0 <= self.num_merges <= MAX_MERGES:
            raise TokenizerError(f"--num-merges must be 0..{MAX_MERGES}, got {self.num_merges}")
        if self.min_count < 1:
            raise TokenizerError(f"--min-count must be at least 1, got {self.min_count}")
        if self.num_threads < 0:
            raise TokenizerError(f"--threads must be 0 or more, got {self.num_threads}")
        if self.mode not in MODES:
            raise TokenizerError(f"--mode must be one of {MODES}, got {self.mode!r}")


class Run(Protocol):
    """A training run of either core, its text already added."""

    def run(self, max_merges: int, max_seconds: float) -> tuple[int, str | None]:
        """Merge for a while; return how many and, at the end, why it ended."""

    def merges(self) -> np.ndarray:
        """Return all merges so far."""

    def counts(self) -> np.ndarray:
        """Return the counts of the merges made in this run."""


def memory_need(text: TrainingText) -> int:
    """Return the bytes that training on ``text`` may take at its peak."""
    per_symbol = BYTES_PER_SYMBOL_TWIN if compiled_core() is None else BYTES_PER_SYMBOL
    if text.origin.get("boundary") == "none":
        per_symbol *= 2  # resuming encodes the text as the one sequence that it is
    return BASE_BYTES + per_symbol * text.num_symbols


def check_memory(text: TrainingText) -> str:
    """Return the sentence to print before training starts.

    Raises:
        TokenizerError: it cannot fit.
    """
    need, free = memory_need(text), free_memory()
    sentence = (
        f"training on {text.num_symbols:,} symbols in {text.num_sequences:,} sequences; "
        f"needs up to {need / 2**20:,.0f} MiB"
    )
    if free is None:
        return sentence
    if need > free:
        raise TokenizerError(
            f"{sentence}, but only {free / 2**20:,.0f} MiB are free; train on a part with "
            f"--sample (about {max(free - BASE_BYTES, 0) / max(need - BASE_BYTES, 1):.1%} fit)"
        )
    return f"{sentence}, {free / 2**20:,.0f} MiB are free"


def train_tokenizer(
    text: TrainingText,
    options: TrainingOptions,
    progress: str = "silent",
    previous: EcgTokenizer | None = None,
) -> EcgTokenizer:
    """Train a tokenizer; the same text and options give the same bytes, for any thread count.

    Args:
        text: what to train on.
        options: how much.
        progress: mode of the progress report (see ``ecg_fairseq.progress``).
        previous: a tokenizer of the same text to go on from.

    Returns:
        The tokenizer. After Ctrl-C it holds the merges made until then and its
        ``training["stop"]`` is ``"interrupted"``.

    Raises:
        TokenizerError: bad options, no symbols, too little memory, or ``previous`` was trained on
            something else.
    """
    options.validate()
    if text.num_symbols == 0:
        raise TokenizerError("the training text is empty; nothing can be merged")
    figures = {
        **text.origin,
        "num_symbols": text.num_symbols,
        "min_count": options.min_count,
        "num_merges_wanted": options.num_merges,
    }
    prefix = np.zeros((0, 2), dtype=np.int64)
    if previous is not None:
        prefix = _checked_prefix(previous, text, figures)
    reporter = Reporter(options.num_merges, len(prefix), progress)
    try:
        run = _start(text, options, prefix)
        stop = _finish(run, options, len(prefix), reporter)
    finally:
        reporter.close()
    counts = run.counts()
    last = int(counts[-1]) if len(counts) else previous and previous.training.get("last_count")
    return EcgTokenizer(
        merges=run.merges(),
        mode=options.mode,
        quantizer=text.quantizer,
        recipe=text.recipe,
        split_hash=text.split_hash,
        training={**figures, "stop": stop, "last_count": last},
    )


def _checked_prefix(
    previous: EcgTokenizer, text: TrainingText, figures: dict[str, Any]
) -> np.ndarray:
    """Return the merges to go on from, after checking that they come from the same text."""
    ignored = {"num_merges_wanted", "stop", "last_count"}
    then = {key: value for key, value in previous.training.items() if key not in ignored}
    now = {key: value for key, value in figures.items() if key not in ignored}
    then |= {"recipe": previous.recipe, "split_hash": previous.split_hash}
    now |= {"recipe": text.recipe, "split_hash": text.split_hash}
    then["quantiser"], now["quantiser"] = previous.quantizer, text.quantizer
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key):
            raise TokenizerError(
                f"cannot resume: the earlier run had {key} = {then.get(key)!r}, this one has "
                f"{now.get(key)!r}; give the same input and options, or train anew"
            )
    return previous.merges[: figures["num_merges_wanted"]]


def _start(text: TrainingText, options: TrainingOptions, prefix: np.ndarray) -> Run:
    core = compiled_core()
    if core is None:
        return _TwinRun(text, options, prefix)
    try:
        run = core.Trainer(options.num_merges, options.min_count, options.num_threads, prefix)
        run.reserve(text.num_symbols + text.num_sequences + 1)
        for symbols, is_end in text.pieces():
            run.add(symbols, is_end)
    except ValueError as error:
        raise TokenizerError(str(error)) from error
    return run


def _finish(run: Run, options: TrainingOptions, done: int, reporter: Reporter) -> str:
    """Run to the end, or to Ctrl-C; return why it stopped."""
    try:
        while True:
            new, stop = run.run(max(options.num_merges, 1), _SLICE_SECONDS)
            done += new
            if stop is not None:
                return stop
            reporter.update(done)
    except KeyboardInterrupt:
        return INTERRUPTED


class _TwinRun:
    """The same run with the Python twin."""

    def __init__(self, text: TrainingText, options: TrainingOptions, prefix: np.ndarray) -> None:
        self._merges = [(left, right) for left, right in prefix.tolist()]
        self._counts: list[int] = []
        self._stop: str | None = None
        self._steps = twin.train_steps(
            _joined(text), options.num_merges, options.min_count, tuple(self._merges)
        )

    def run(self, max_merges: int, max_seconds: float) -> tuple[int, str | None]:
        """Merge for a while."""
        start = time.monotonic()
        done = 0
        while self._stop is None and done < max_merges:
            try:
                pair, count = next(self._steps)
            except StopIteration as end:
                self._stop = end.value
                break
            self._merges.append(pair)
            self._counts.append(count)
            done += 1
            if time.monotonic() - start >= max_seconds:
                break
        return done, self._stop

    def merges(self) -> np.ndarray:
        """Return all merges so far."""
        return np.array(self._merges, dtype=np.int64).reshape(-1, 2)

    def counts(self) -> np.ndarray:
        """Return the counts of the merges made in this run."""
        return np.array(self._counts, dtype=np.uint64)


def _joined(text: TrainingText) -> Iterator[bytes]:
    """Yield whole sequences."""
    parts: list[bytes] = []
    for symbols, is_end in text.pieces():
        parts.append(symbols.tobytes())
        if is_end:
            yield b"".join(parts)
            parts = []
    if parts:
        yield b"".join(parts)
