"""A command as a process of its own, with what it took."""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ecg_fairseq.errors import EcgError


@dataclass(frozen=True)
class Measured:
    """Seconds on the clock and of the processor, and the largest resident memory of a process."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def measure(command: Sequence[str]) -> Measured:
    """Run a command to its end.

    Raises:
        EcgError: it failed; the end of what it printed is told.
    """
    with tempfile.TemporaryFile("w+") as log:
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=log, stderr=log)
        # wait4 and not wait: only it tells what this one process used.
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise EcgError(f"{' '.join(command)} failed: {log.read()[-500:].strip()}")
    return Measured(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**10)
