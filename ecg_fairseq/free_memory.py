"""How much memory this process may take: of the machine, its control groups and its limits."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

_KIB = 1 << 10
# What a control group without a limit says: nearly 2 ** 63 in version 1, "max" in version 2.
_NO_LIMIT = 1 << 60


def free_memory(system: Path = Path("/")) -> int | None:
    """Return the bytes this process may still take, or None where that cannot be known.

    The smallest of what is available on the machine, what is left in the control group of the
    process and in those above it, and what ``ulimit -v`` and ``ulimit -d`` leave.

    Args:
        system: root of the file system whose ``proc`` and ``sys`` are read.
    """
    limits = [*_available(system), *_control_groups(system), *_process_limits(system)]
    return max(0, min(limits)) if limits else None


def _available(system: Path) -> Iterator[int]:
    for name, value in _fields(system / "proc/meminfo"):
        if name == "MemAvailable":
            yield value


def _control_groups(system: Path) -> Iterator[int]:
    """Yield what is left in each control group that the process is in, of either version."""
    with contextlib.suppress(OSError, ValueError):
        for line in (system / "proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                root, limit, usage = "sys/fs/cgroup", "memory.max", "memory.current"
            elif "memory" in controllers.split(","):
                root = "sys/fs/cgroup/memory"
                limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
            else:
                continue
            # In a container the path may be that of the host, while the root is the own group.
            parts = [part for part in path.split("/") if part]
            for depth in range(len(parts) + 1):
                yield from _left(system / root / Path(*parts[:depth]), limit, usage)


def _left(group: Path, limit: str, usage: str) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):
        allowed = int((group / limit).read_text())  # not a number: no limit
        if allowed < _NO_LIMIT:
            yield allowed - int((group / usage).read_text())


def _process_limits(system: Path) -> Iterator[int]:
    used = dict(_fields(system / "proc/self/status"))
    for kind, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        allowed, _ = resource.getrlimit(kind)
        if allowed != resource.RLIM_INFINITY:
            yield allowed - used.get(name, 0)


def _fields(path: Path) -> Iterator[tuple[str, int]]:
    """Yield (name, bytes) of the lines ``Name:  123 kB`` of a file of the system."""
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            name, _, value = line.partition(":")
            words = value.split()
            if len(words) == 2 and words[0].isdecimal() and words[1] == "kB":
                yield name, int(words[0]) * _KIB
