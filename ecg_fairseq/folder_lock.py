"""One command writes into a folder at a time: a lock file with the writer's process and host.

The file is held with ``flock``, so on one machine a lock ends with its process, however that ends,
and a number that the system has given to another process misleads nobody. From other machines a
lock counts as held while its time of change moves, which its holder sees to.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import EcgError

LOCK_FILE = ".lock"
_SECONDS_BETWEEN_SIGNS = 20.0
# A network file system may show a change of time a minute late.
_SECONDS_UNTIL_STALE = 180.0
_NOT_SUPPORTED = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL)
# Locks of this process: a command may call another that locks the same folder.
_held: set[Path] = set()


@contextlib.contextmanager
def locked_folder(folder: Path | str, command: str, part: str = "") -> Iterator[None]:
    """Hold the lock of a folder, which is made when it is not there.

    Args:
        folder: to write into.
        command: what is done, for the message of whoever comes second.
        part: of a preparation in parts, such as ``0-of-4``: parts exclude the whole and themselves,
            but not each other.

    Raises:
        EcgError: another command writes into it, or it cannot be written.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    own = folder / (f"{LOCK_FILE}-{part}" if part else LOCK_FILE)
    try:
        with locked(own, command, folder):
            _refuse_others(folder, own, is_part=bool(part))
            yield
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # only when nothing came of it


@contextlib.contextmanager
def locked_beside(path: Path | str, command: str) -> Iterator[None]:
    """Hold a lock beside a file or folder that is to appear whole; see :func:`locked_folder`."""
    path = Path(path).absolute()
    if not path.name:
        raise EcgError(f"{path} cannot be written; give --out a name below it")
    with locked(path.with_name(f".{path.name}{LOCK_FILE}"), command, path):
        yield


@contextlib.contextmanager
def locked(lock: Path, command: str, what: Path) -> Iterator[None]:
    """Hold a lock file; see :func:`locked_folder`.

    Args:
        lock: the file.
        command: what is done.
        what: is being written, for the message.
    """
    key = Path(os.path.abspath(lock))
    if key in _held:
        yield
        return
    descriptor = _take(lock, what)
    content = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "command": command})
    stop = threading.Event()
    signs = threading.Thread(target=_give_signs, args=(lock, stop), daemon=True)
    _held.add(key)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{content}\n".encode(), 0)
        signs.start()
        yield
    finally:
        _held.discard(key)
        stop.set()
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def is_lock(path: Path) -> bool:
    """Say whether a file in a folder is the lock of the folder or of a part."""
    return path.name == LOCK_FILE or path.name.startswith(f"{LOCK_FILE}-")


def _give_signs(lock: Path, stop: threading.Event) -> None:
    while not stop.wait(_SECONDS_BETWEEN_SIGNS):
        with contextlib.suppress(OSError):
            os.utime(lock)


def _take(lock: Path, what: Path) -> int:
    """Return the descriptor of the lock file, held; EcgError when another process holds it."""
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise EcgError(
                f"cannot write {lock}: {error.strerror or error}; choose another folder for --out"
            ) from error
        if not _is_free(descriptor, lock):
            holder = _content(lock)
            os.close(descriptor)
            raise _busy(lock, what, holder)
        # A holder that has just finished may have removed the file that was opened here.
        with contextlib.suppress(FileNotFoundError):
            if _is_same(descriptor, lock):
                return descriptor
        os.close(descriptor)


def _is_same(descriptor: int, lock: Path) -> bool:
    return os.path.samestat(os.fstat(descriptor), os.stat(lock))


def _is_free(descriptor: int, lock: Path) -> bool:
    """Lock the file if nobody holds it; say whether that went well."""
    holder = _content(lock)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            return False
        if holder.get("host") == socket.gethostname() and _is_running(holder.get("pid")):
            return False
    is_elsewhere = holder.get("host", socket.gethostname()) != socket.gethostname()
    return not is_elsewhere or time.time() - lock.stat().st_mtime > _SECONDS_UNTIL_STALE


def _content(lock: Path) -> dict[str, Any]:
    try:
        value = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_running(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, TypeError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _refuse_others(folder: Path, own: Path, is_part: bool) -> None:
    """Refuse a folder that a whole preparation, or parts of one, are writing."""
    others = [folder / LOCK_FILE] if is_part else sorted(folder.glob(f"{LOCK_FILE}-*"))
    for other in others:
        if other == own or not other.is_file():
            continue
        holder = _content(other)
        try:
            descriptor = os.open(other, os.O_RDWR)
        except OSError:
            continue
        try:
            if not _is_free(descriptor, other):
                raise _busy(other, folder, holder)
            other.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _busy(lock: Path, what: Path, holder: dict[str, Any]) -> EcgError:
    who = "another process"
    if holder.get("pid"):
        who = f"process {holder['pid']} on {holder.get('host')} ({holder.get('command')})"
    return EcgError(
        f"{what} is being written by {who}; wait until it has ended or choose another --out "
        f"(if it runs no more, remove {lock})"
    )
