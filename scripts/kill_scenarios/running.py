"""Commands in processes that can be killed at any moment; forked, so that they start at once."""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path


class Running:
    """A console command in a forked process with a process group of its own."""

    def __init__(self, command: Callable[[], object], words: Sequence[str], folder: Path) -> None:
        """Start ``command`` with ``words`` as its command line, in ``folder``; see ``log.txt``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log.txt"
        self.status: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(command, words, folder, self.log)
        with contextlib.suppress(OSError):  # the child does it too; whoever is first
            os.setpgid(self.pid, self.pid)

    def is_alive(self) -> bool:
        """Say whether it still runs."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def wait(self) -> int:
        """Return its exit status."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def kill_after(self, seconds: float) -> bool:
        """SIGKILL it and its group after a while; False when it ended by itself before."""
        end = time.monotonic() + seconds
        while self.is_alive() and (rest := end - time.monotonic()) > 0:
            time.sleep(min(rest, 0.01))
        if not self.is_alive():
            return False
        os.killpg(self.pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL


def _become(command: Callable[[], object], words: Sequence[str], folder: Path, log: Path) -> None:
    """Run the command in a new process and leave it without a way back."""
    status = 1
    try:
        os.setpgid(0, 0)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.chdir(folder)
        sys.argv = list(words)
        status = int(command() or 0)  # type: ignore[call-overload]
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
