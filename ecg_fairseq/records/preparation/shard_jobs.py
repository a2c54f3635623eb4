"""The work of one process: read, prepare and store the records of one shard; and how to spread it.

Processes are started afresh (spawn) with one BLAS thread each. At most two tasks a worker wait at a
time, a worker that dies is an error instead of a hang, and workers end when their parent is gone.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ecg_fairseq.errors import EcgError, ManifestError, RecordError
from ecg_fairseq.files import atomic_write, read_json
from ecg_fairseq.records.manifest.store import (
    Shard,
    Store,
    decode_values,
    num_clipped,
    shard_file,
    write_scaling,
    write_shard,
)
from ecg_fairseq.records.preparation.changed_inputs import input_state
from ecg_fairseq.records.preparation.percentiles import count_values
from ecg_fairseq.records.preparation.raw_dataset import load_source
from ecg_fairseq.records.readers.plausibility import Plausibility, plausible, segments_to_leave_out
from ecg_fairseq.records.record import EcgRecord
from ecg_fairseq.records.source_record import SourceRecord
from ecg_fairseq.signal.recipe import Recipe
from ecg_fairseq.terminal import is_out_of_files, system_sentence

Task = TypeVar("Task")
Result = TypeVar("Result")
WORK_FOLDER = ".prepare"
_ROWS_MAPPED = 256
_ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    )
}
# A recording's arrays are freed as fast as they are made. Handing them back to the system each time
# costs a third of the work in page faults, so a worker (glibc's) keeps up to this much.
_KEPT_BYTES = str(64 * 2**20)
_WORKER_ENVIRONMENT = {
    **_ONE_THREAD,
    "MALLOC_TRIM_THRESHOLD_": _KEPT_BYTES,
    "MALLOC_MMAP_THRESHOLD_": _KEPT_BYTES,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record: segments in the store, or the reason for skipping it.

    ``num_clipped`` of its values were too large for the store's dtype, ``num_still`` segments
    without any signal were left out; ``findings`` are kinds of oddities of the signal.
    """

    record_id: str
    num_segments: int
    fs_hz: float = 0.0
    signal_hash: str = ""
    reason: str = ""
    num_clipped: int = 0
    num_still: int = 0
    findings: Sequence[str] = ()


@dataclass(frozen=True)
class ShardTask:
    """One shard to write."""

    folder: str
    index: int
    sources: list[SourceRecord]
    recipe: Recipe
    dtype: str
    accept_amplitude: bool = False


@dataclass(frozen=True)
class ShardResult:
    """One shard that stands, with the outcome of every record in order.

    ``inputs`` tells the state of the files it was made from: see input_state.py.
    """

    shard: Shard
    outcomes: list[Outcome]
    inputs: str


def done_file(folder: Path | str, index: int) -> Path:
    """Return the file that says that a shard is complete."""
    return Path(folder) / WORK_FOLDER / f"shard-{index:05d}.json"


def prepare_shard(task: ShardTask) -> ShardResult:
    """Read, prepare and write one shard, then its ``done`` file.

    Raises:
        EcgError: the disk is full or cannot be written.
    """
    outcomes: list[Outcome] = []
    inputs = input_state(task.sources)
    _remove_leftovers(Path(task.folder) / shard_file(task.index))
    scalings: list[np.ndarray] = []
    blocks = _blocks(task, outcomes, scalings)
    shard = write_shard(task.folder, task.index, blocks, task.recipe.shape, task.dtype)
    shard = write_scaling(task.folder, shard, scalings)
    result = ShardResult(shard, outcomes, inputs)
    with atomic_write(done_file(task.folder, task.index)) as stream:
        made = {"shard": shard.to_dict(), "inputs": inputs}
        json.dump(made | {"outcomes": [asdict(item) for item in outcomes]}, stream)
    return result


def _blocks(
    task: ShardTask, outcomes: list[Outcome], scalings: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """Yield the segments of every record; what became of it is appended to the lists."""
    for source in task.sources:
        try:
            record, found = load_plausible(source, task.accept_amplitude)
            segments, scaling = task.recipe.apply_scaled(record.signal, record.leads, record.fs_hz)
            is_still = still_rows(record, found, len(segments), task.recipe)
            if is_still.any():
                segments = segments[~is_still]
                scaling = None if scaling is None else scaling[~is_still]
            if not np.isfinite(segments).all():
                raise RecordError(f"recipe {task.recipe.name} gave NaN or Inf values")
        except Exception as error:
            # One odd record must not end a job of many hours; it is listed with its reason.
            outcomes.append(Outcome(source.record_id, 0, reason=_reason_to_skip(error)))
            continue
        digest = hashlib.sha256(record.signal.tobytes()).hexdigest()
        clipped = num_clipped(segments, task.dtype)
        outcomes.append(
            Outcome(
                record_id=source.record_id,
                num_segments=len(segments),
                fs_hz=record.fs_hz,
                signal_hash=digest,
                num_clipped=clipped,
                num_still=int(is_still.sum()),
                findings=(*found.warnings, *record.notes),
            )
        )
        if scaling is not None:
            scalings.append(scaling)
        yield segments


def _reason_to_skip(error: Exception) -> str:
    """Return why a record cannot be used.

    Raises:
        EcgError: the record is not to blame: every other one would be skipped, too.
    """
    if is_out_of_files(error):
        raise EcgError(system_sentence(error)) from error
    is_explained = isinstance(error, RecordError)
    return str(error) if is_explained else f"unexpected {type(error).__name__}: {error}"


def load_plausible(source: SourceRecord, accept: bool) -> tuple[EcgRecord, Plausibility]:
    """Read a source's signal without filling at its ends, and what is odd about it.

    Raises:
        RecordError: it cannot be read, or cannot be an ECG in mV and ``accept`` is off.
    """
    return plausible(load_source(source), accept)


def still_rows(
    record: EcgRecord, found: Plausibility, num_segments: int, recipe: Recipe
) -> np.ndarray:
    """Say which of several segments are to be left out as no lead moves in them."""
    if not found.has_still_second:
        return np.zeros(num_segments, dtype=bool)
    return segments_to_leave_out(record, num_segments, recipe.segment_seconds)


def _remove_leftovers(path: Path) -> None:
    """Delete temporary files that a killed run left beside ``path``."""
    for leftover in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(OSError):
            leftover.unlink()


def load_result(folder: Path | str, index: int, record_ids: list[str]) -> ShardResult | None:
    """Return a shard that an earlier run completed, or None when it must be made (again)."""
    path = done_file(folder, index)
    if not path.is_file():
        return None
    try:
        value: Any = read_json(path, ManifestError, "finished shard")
        shard = Shard(**value["shard"])
        outcomes = [Outcome(**item) for item in value["outcomes"]]
        inputs = str(value["inputs"])
        size = (Path(folder) / shard.file).stat().st_size
    except (ManifestError, KeyError, TypeError, OSError):
        return None
    same_records = [item.record_id for item in outcomes] == record_ids
    return ShardResult(shard, outcomes, inputs) if same_records and size > 0 else None


@dataclass(frozen=True)
class CountTask:
    """Rows of one shard whose values are to be counted."""

    folder: str
    shard: Shard
    shape: tuple[int, ...]
    dtype: str
    scale_mv: float
    rows: list[int]


def count_shard(task: CountTask) -> np.ndarray:
    """Return the histogram of the rows of one shard, see histogram.py."""
    description = {
        "dtype": task.dtype,
        "scale_mv": task.scale_mv,
        "shards": [task.shard.to_dict()],
    }
    total = count_values(np.empty(0))
    for start in range(0, len(task.rows), _ROWS_MAPPED):
        # Opened afresh each time: what is mapped counts as memory until it is closed.
        array = Store(task.folder, description, task.shape).array(0)
        for row in task.rows[start : start + _ROWS_MAPPED]:
            total += count_values(decode_values(array[row], task.scale_mv))
    return total


def run_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], workers: int
) -> Iterator[Result]:
    """Yield results as they come; ``workers`` below 2 runs in this process.

    Raises:
        EcgError: a worker process died (most often: out of memory).
    """
    if workers < 2:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with _environment(_WORKER_ENVIRONMENT):
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_work)
        try:
            yield from _results(pool, function, iter(tasks), 2 * workers)
        except BrokenProcessPool as error:
            raise EcgError(
                "a worker process ended unexpectedly (often: out of memory); run the same command "
                "again with fewer --workers, finished shards are kept"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _results(
    pool: ProcessPoolExecutor,
    function: Callable[[Task], Result],
    tasks: Iterator[Task],
    most_waiting: int,
) -> Iterator[Result]:
    waiting: set[Future[Result]] = set()
    for task in tasks:
        with _interrupts_held():
            waiting.add(pool.submit(function, task))
        if len(waiting) >= most_waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    while waiting:
        finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in finished)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back for a moment, also in processes that are started meanwhile.

    They would print a traceback each while they import; see :func:`_begin_work`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_work() -> None:
    """Make this process end with its parent, and on Ctrl-C without a word: the parent has it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with_parent()


def _end_with_parent() -> None:
    """Watch the parent process: a killed run must not leave workers behind."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
