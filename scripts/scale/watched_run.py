"""Runs a preparation as a process of its own: samples its memory, or kills it at a given moment."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ecg_fairseq.errors import EcgError
from ecg_fairseq.records.preparation.shard_jobs import WORK_FOLDER

_SECONDS_BETWEEN_SAMPLES = 0.5
_SECONDS_BETWEEN_LOOKS = 0.01
_SECONDS_FOR_WORKERS_TO_END = 30.0
_MIB = 2**20


@dataclass(frozen=True)
class Sample:
    """Resident memory at one moment, in MiB, and how many shards were complete."""

    seconds: float
    shards_done: int
    parent_mib: float
    workers_mib: tuple[float, ...]


def prepare_command(raw: Path, out: Path, workers: int, *more: str) -> list[str]:
    """Return the command that prepares ``raw`` with the ecg_byte recipe at int16."""
    script = Path(__file__).resolve().parents[2] / "manifests" / "mimic_iv_ecg.py"
    return [
        *(sys.executable, str(script), str(raw), "--out", str(out), "--recipe", "ecg_byte"),
        *("--dtype", "int16", "--workers", str(workers), "--progress", "silent"),
        *("--label-table", str(raw / "labels.csv"), *more),
    ]


def run_watched(command: Sequence[str], out: Path) -> tuple[float, list[Sample]]:
    """Run to the end; return seconds and samples.

    Raises:
        EcgError: the command failed.
    """
    start = time.monotonic()
    samples = []
    with _started(command, out) as process:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            samples.append(_sample(parent, out, time.monotonic() - start))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_BETWEEN_SAMPLES)
    if process.returncode:
        raise EcgError(f"{' '.join(command)} ended with {process.returncode}: {_errors(out)}")
    return time.monotonic() - start, samples


def run_killed(command: Sequence[str], out: Path, shards: int, delay_seconds: float) -> int:
    """Start, kill with SIGKILL some time after a number of shards, wait until workers are gone.

    Returns:
        How many shards were complete then.

    Raises:
        EcgError: it ended by itself before that, or a worker lived on.
    """
    with _started(command, out) as process:
        while process.poll() is None and _shards_done(out) < shards:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay_seconds)
        if process.poll() is not None:
            raise EcgError(f"the run ended before it was to be killed: {_errors(out)}")
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=_SECONDS_FOR_WORKERS_TO_END)
    if alive:
        raise EcgError(f"processes {[child.pid for child in alive]} outlived the killed run")
    return _shards_done(out)


@contextlib.contextmanager
def _started(command: Sequence[str], out: Path):
    with open(_log(out), "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _log(out: Path) -> Path:
    return out.with_name(f"{out.name}.log")


def _errors(out: Path) -> str:
    return _log(out).read_text(errors="replace").strip()[-500:]


def _shards_done(out: Path) -> int:
    return len(list((out / WORK_FOLDER).glob("shard-*.json")))


def _sample(parent: psutil.Process, out: Path, seconds: float) -> Sample:
    own, workers = 0.0, []
    with contextlib.suppress(psutil.NoSuchProcess):
        own = parent.memory_info().rss / _MIB
        for child in parent.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                # multiprocessing has a helper beside the workers, which does no work.
                if not any("resource_tracker" in word for word in child.cmdline()):
                    workers.append(child.memory_info().rss / _MIB)
    return Sample(seconds, _shards_done(out), own, tuple(workers))
