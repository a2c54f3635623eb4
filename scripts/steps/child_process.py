"""Child processes that end with their parent, whatever ends it.

A stage that lives on after its quickstart was stopped would write into the same folder as the next
one. So a stage has a process group of its own, which is ended on every way out; and where the
parent cannot act any more (SIGKILL), Linux ends the stage.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# <linux/prctl.h>: the signal that a process gets when the thread that started it ends.
_PR_SET_PDEATHSIG = 1
_SECONDS_TO_END = 10.0


@contextlib.contextmanager
def child_process(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """Start a command; on leaving, end it and all that it has started in its process group.

    Args:
        command: program and arguments.
        options: further ones of ``subprocess.Popen``.
    """
    process = subprocess.Popen(
        command, start_new_session=True, preexec_fn=_ender(os.getpid()), **options
    )
    try:
        yield process
    finally:
        _end_group(process)


def end_on_termination() -> None:
    """Let SIGTERM unwind this process as Ctrl-C does, so that its children are ended."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _ender(parent: int) -> Callable[[], None] | None:
    """Return what a new process does first; made here, as it may not import anything there."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def end_with_parent() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os.kill(os.getpid(), signal.SIGKILL)

    return end_with_parent


def _end_group(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
