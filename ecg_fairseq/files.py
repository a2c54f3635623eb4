"""Atomic files: nothing half-written ever stands under its final name."""

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ecg_fairseq.errors import EcgError

# What a file is called until it is complete: ``.NAME.`` and eight letters of tempfile's, or the
# number of the process. NAME ends in what our commands write, so that nobody else's file is taken.
_INCOMPLETE = re.compile(
    r"\..+\.(tsv|json|jsonl|npy|csv|txt|hea|dat|mat|hdf5|xml|npz|safetensors)"
    r"\.([a-z0-9_]{8}|\d+)"
)


@contextlib.contextmanager
def atomic_write(path: Path | str, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` and move it there only after a complete write.

    A device or a pipe (``/dev/null``, ``/dev/stdout``) is written to as it is: moved over, the
    machine would lose it.

    Args:
        path: the final name; missing parent folders are made.
        mode: ``"w"`` for UTF-8 text with Unix line ends, ``"wb"`` for bytes.

    Raises:
        EcgError: the disk is full or the folder cannot be written; no partial file stays behind.
    """
    path = Path(path)
    options = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    temporary = ""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            with open(path, mode, **options) as stream:
                yield stream
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, mode, **options) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise EcgError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another "
            "folder, then run the same command again (nothing was written under that name)"
        ) from error
    except UnicodeEncodeError as error:
        part = error.object[max(0, error.start - 30) : error.end + 30]
        raise EcgError(
            f"cannot write {path}: its text holds {part!a}, which is no UTF-8 (a lone surrogate, "
            "often from a file or folder whose name is not in UTF-8): correct it and run again"
        ) from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def remove_incomplete(folder: Path | str, name: str = "*") -> None:
    """Delete what killed commands left of files that were to be called ``name`` in a folder.

    To be called by who alone writes there: see :mod:`ecg_fairseq.folder_lock`.

    Args:
        folder: searched, without the folders below it.
        name: of the finished files, as a pattern.
    """
    for path in Path(folder).glob(f".{name}.*"):
        if _INCOMPLETE.fullmatch(path.name) and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()


def _umask() -> int:
    """Return the process's file mode mask (reading it means setting it for a moment)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically and with sorted keys left as given."""
    with atomic_write(path) as stream:
        json.dump(value, stream, indent=2, ensure_ascii=False)
        stream.write("\n")


def read_json(path: Path | str, error: type[EcgError], what: str) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        error: the error class to raise when it is missing or not JSON.
        what: what the file is, for the message (``"manifest description"``).
    """
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError as cause:
        raise error(f"{what} not found: {path}; check the folder that was given") from cause
    except (OSError, ValueError, RecursionError) as cause:
        raise error(f"{what} {path} cannot be read as JSON: {cause}") from cause


def sha256_of_file(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_json(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON (sorted keys, no spaces), in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
