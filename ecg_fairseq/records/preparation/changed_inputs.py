"""In what state input files were when they were read, to notice that they changed since.

Every shard carries the state of its own inputs. So a first run asks the file system about no file
before it reads it, a part of many (``--shard i/n``) about its own files only, and a changed file
costs the shard it is in, not the whole preparation.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ecg_fairseq.records.source_record import SourceRecord

_SIGNAL_SUFFIXES = (".dat", ".mat")
# Waiting for a network file system is all they do.
_THREADS = 8


def input_state(sources: Iterable[SourceRecord]) -> str:
    """Return a SHA-256 over sizes and times of change of all files that records are read from."""
    digest = hashlib.sha256()
    last = None
    for source in sources:
        if source.path != last:  # the rows of an array share their file
            last = source.path
            digest.update(repr(_file_states(last)).encode())
    return digest.hexdigest()


def input_states(parts: Sequence[Sequence[SourceRecord]]) -> list[str]:
    """Return the :func:`input_state` of every part."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(input_state, parts))


def _file_states(path: str) -> list[tuple[int, int] | None]:
    """Return (size, ns of change) of a record's files; None for what is not there.

    A record is a file of its own, a header with a signal file beside it, or ``FILE:WAVEFORM``.
    """
    own = _state(path)
    if own is None and ":" in path:
        own = _state(path.rpartition(":")[0])
    states = [own]
    stem = path.removesuffix(".hea")
    if own is None:
        states.append(_state(f"{path}.hea"))
    if own is None or stem != path:
        states.append(next(filter(None, (_state(stem + end) for end in _SIGNAL_SUFFIXES)), None))
    return states


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
