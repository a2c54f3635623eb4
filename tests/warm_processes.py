"""Console commands in processes of their own that have torch and fairseq imported when they begin.

What tests look at is there: a working folder, an environment, signals, an exit status, everything
printed. The seconds of imports before it are spent once for each test worker, in Python's fork
server; nothing of ours is imported there. That a command also starts from nothing is what the
tests of README.md and of the set-up show, which run it in a shell.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_HEAVY = (
    *("torch", "fairseq", "fairseq_cli.hydra_train", "fairseq_cli.generate", "hydra", "peft"),
    *("transformers.models.llama.modeling_llama", "transformers.tokenization_utils_fast"),
)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(_HEAVY))


class WarmProcess:
    """A running console script.

    Args:
        command: path of the script and its arguments.
        folder: to work in; made when it is not there.
        environment: all of it.
    """

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]):
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".log")
        os.close(handle)
        self._log = Path(name)
        words = [str(word) for word in command]
        self._process: Any = _context.Process(
            target=_run_script, args=(words, str(folder), dict(environment), name)
        )
        self._process.start()

    def printed(self) -> str:
        """Return what was printed so far, stdout and stderr together."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def is_running(self) -> bool:
        """Say whether it has not ended."""
        return self._process.exitcode is None

    def kill(self) -> None:
        """Kill it hard, with all processes that it started."""
        os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, seconds: float = 600.0) -> subprocess.CompletedProcess:
        """Wait for its end; return status (minus a signal's number) and what it printed."""
        self._process.join(seconds)
        if self.is_running():
            self.kill()
            self._process.join()
        output = self.printed()
        self._log.unlink()
        return subprocess.CompletedProcess([], self._process.exitcode, output, "")


def run_until(process: WarmProcess, text: str) -> None:
    """Return when a process has printed a text, or has ended."""
    while process.is_running() and text not in process.printed():
        time.sleep(0.01)


def _run_script(words: list[str], folder: str, environment: dict[str, str], log: str) -> None:
    """Run a console script here, in a child of the fork server, as its shebang would."""
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    threads = environment.get("OMP_NUM_THREADS")
    if threads:
        import torch

        torch.set_num_threads(int(threads))
    sys.argv[:] = words
    # What the real process has there: the folder of the script, not that of the tests.
    sys.path[:] = [path for path in sys.path if Path(path).name not in ("tests", "")]
    runpy.run_path(words[0], run_name="__main__")
