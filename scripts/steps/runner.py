"""Runs commands: log files, progress, times and peak memory."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from ecg_fairseq.errors import EcgError
from steps.child_process import child_process

_SECONDS_BETWEEN_SAMPLES = 0.25
_SECONDS_BETWEEN_LINES = 15.0
_LINES_SHOWN_ON_FAILURE = 15


class CommandRunner:
    """Runs commands and keeps what they took.

    Args:
        out: folder of the run; output goes to ``logs/NAME.log`` below it.

    Attributes:
        seconds: name -> wall seconds; a command that was passed over counts 0.
        peak_rss_mb: largest summed resident memory of this process and all below it.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.seconds: dict[str, float] = {}
        self.peak_rss_mb = 0.0

    def log(self, name: str) -> Path:
        """Return the path of a command's output."""
        return self.out / "logs" / f"{name}.log"

    def pass_over(self, name: str) -> None:
        """Say that a command was complete before."""
        print(f"[{name}] done already", file=sys.stderr)
        self.seconds[name] = 0.0

    def run(self, name: str, command: Sequence[str]) -> None:
        """Run a command.

        Raises:
            EcgError: the command failed; its last lines are shown.
        """
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        print(f"[{name}] {' '.join(command)}", file=sys.stderr)
        start = time.monotonic()
        status = self._execute(name, command)
        self.seconds[name] = round(time.monotonic() - start, 1)
        if status != 0:
            tail = "\n".join(
                log.read_text(errors="replace").splitlines()[-_LINES_SHOWN_ON_FAILURE:]
            )
            raise EcgError(f"step {name} failed with status {status}; the end of {log}:\n{tail}")
        print(f"[{name}] {self.seconds[name]} s", file=sys.stderr)

    def _execute(self, name: str, command: Sequence[str]) -> int:
        """Run the command, copy its output to the log, watch its memory."""
        log = self.log(name)
        options = {
            "cwd": log.parent,
            "env": _environment(),
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            "errors": "replace",
        }
        with (
            open(log, "a", encoding="utf-8") as stream,
            child_process(command, **options) as process,
        ):
            finished = threading.Event()
            watcher = threading.Thread(target=self._watch_memory, args=(finished,), daemon=True)
            watcher.start()
            try:
                _copy_output(process, stream, name)
                return process.wait()
            finally:
                finished.set()
                watcher.join()

    def _watch_memory(self, finished: threading.Event) -> None:
        """Sample the process tree until the command is finished."""
        own = psutil.Process()
        while not finished.wait(_SECONDS_BETWEEN_SAMPLES):
            total = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_rss_mb = max(self.peak_rss_mb, total / 1e6)


def _environment() -> dict[str, str]:
    """Return the environment of every command: threads that wait without spinning."""
    return {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", **os.environ}


def _copy_output(process: "subprocess.Popen[str]", stream, name: str) -> None:
    """Write every line to the log, and now and then one short line to stderr."""
    last = time.monotonic()
    for line in process.stdout or ():
        stream.write(line)
        stream.flush()
        if time.monotonic() - last > _SECONDS_BETWEEN_LINES and (text := _summary(line)):
            print(f"    [{name}] {text}", file=sys.stderr)
            last = time.monotonic()


def _summary(line: str) -> str:
    """Return a training or progress line in words, or nothing."""
    start = line.find("{")
    try:
        values = json.loads(line[start:]) if start >= 0 else None
    except ValueError:
        return ""
    if not isinstance(values, dict):
        return ""
    if "num_updates" in values and "loss" in values:
        text = f"update {values['num_updates']}: loss {values['loss']}"
        if "answer_accuracy" in values:
            text += f", answers right {values['answer_accuracy']} % (training)"
        return text
    if "progress" in values:
        return f"{values['done']} of {values['total']} {values['progress']}"
    return ""
