"""Checkpoints that are whole or absent: fairseq copies some of them in place.

fairseq writes one file of a save through a temporary name and copies it to ``checkpoint_best.pt``
and ``checkpoint_last.pt`` byte after byte, so a run that is killed meanwhile leaves half a file
under the name that it is to resume from. Here every file appears under its name at once; and a
``checkpoint_last.pt`` that an earlier version or a full disk cut short is replaced by the newest
whole checkpoint beside it.
"""

import logging
import os
import pickle
import shutil
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager

from ecg_fairseq.errors import CheckpointError, EcgError, first_line
from ecg_fairseq.networks.checkpoint_file import (
    damaged_member,
    pickle_refusal,
    read_checkpoint_file,
)

logger = logging.getLogger(__name__)
LAST_CHECKPOINT = "checkpoint_last.pt"
# fairseq's own name for a file that is not complete; a resumed run writes over it.
_INCOMPLETE = ".tmp"
_TRIES = 3
_SECONDS_BETWEEN_TRIES = 2.5

_fairseq_copy = PathManager.copy
_fairseq_load = checkpoint_utils.load_checkpoint_to_cpu
_fairseq_save = checkpoint_utils.torch_persistent_save


def make_copies_whole() -> None:
    """Let fairseq save and copy checkpoints so that no half file stands under a final name.

    And let it refuse pickled objects in our words.
    """
    PathManager.copy = staticmethod(copy_whole)
    checkpoint_utils.torch_persistent_save = save_whole
    checkpoint_utils.load_checkpoint_to_cpu = load_plain


def copy_whole(src_path: str, dst_path: str, overwrite: bool = False) -> Any:
    """Copy a file in the place of ``PathManager.copy``; truthy on success.

    Raises:
        EcgError: it cannot be written; what stood under that name is kept.
    """
    if any(PathManager.path_requires_pathmanager(path) for path in (src_path, dst_path)):
        return _fairseq_copy(src_path, dst_path, overwrite)
    temporary = f"{dst_path}{_INCOMPLETE}"
    try:
        with open(src_path, "rb") as source, open(temporary, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            _to_disk(target)
        os.replace(temporary, dst_path)
    except OSError as error:
        _remove(temporary)
        raise _cannot_write(dst_path, error) from error
    return dst_path


def save_whole(obj: Any, filename: str, async_write: bool = False) -> None:
    """Save a checkpoint in the place of ``torch_persistent_save``.

    Raises:
        EcgError: it cannot be written, also not when tried again; the earlier file is kept.
    """
    if async_write or PathManager.path_requires_pathmanager(filename):
        _fairseq_save(obj, filename, async_write)
        return
    temporary = f"{filename}{_INCOMPLETE}"
    for number in range(1, _TRIES + 1):
        try:
            with open(temporary, "wb") as stream:
                torch.save(obj, stream)
                _to_disk(stream)
            os.replace(temporary, filename)
            return
        except (OSError, RuntimeError) as error:
            _remove(temporary)
            if number == _TRIES:
                raise _cannot_write(filename, error) from error
            time.sleep(_SECONDS_BETWEEN_TRIES)


def load_plain(path: str, *arguments: Any, **options: Any) -> Any:
    """Load a checkpoint in the place of ``load_checkpoint_to_cpu``, which fairseq leaves to torch.

    Raises:
        CheckpointError: it holds more than plain types and tensors, or is damaged.
    """
    try:
        return _fairseq_load(path, *arguments, **options)
    except pickle.UnpicklingError as cause:
        # The cause is not shown: it tells how to run what is inside all the same.
        raise pickle_refusal(path, cause) from None


def _to_disk(stream: Any) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _remove(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


def _cannot_write(path: str, error: Exception) -> EcgError:
    reason = getattr(error, "strerror", None) or first_line(error)
    return EcgError(
        f"cannot write the checkpoint {path}: {reason}; free some space, then run the same command "
        "again: it goes on from the last checkpoint"
    )


def mend_last_checkpoint(save_dir: Path | str) -> None:
    """Put the newest whole checkpoint in the place of a damaged ``checkpoint_last.pt``.

    The damaged file is kept beside it as ``checkpoint_last.pt.damaged``. In a distributed run the
    first process does it and the others wait.

    Raises:
        CheckpointError: no other checkpoint of the folder is whole.
    """
    is_many = torch.distributed.is_available() and torch.distributed.is_initialized()
    try:
        if not is_many or torch.distributed.get_rank() == 0:
            _mend(Path(save_dir))
    finally:
        if is_many:
            torch.distributed.barrier()


def _mend(folder: Path) -> None:
    last = folder / LAST_CHECKPOINT
    if not last.is_file() or _updates_of(last) is not None:
        return
    whole = [
        (updates, path.name)
        for path in sorted(folder.glob("checkpoint*.pt"))
        if path != last and (updates := _updates_of(path)) is not None
    ]
    if not whole:
        raise CheckpointError(
            f"{last} is damaged, and no other checkpoint of {folder} is whole; remove it to train "
            "from the beginning, or choose another checkpoint.save_dir"
        )
    updates, name = max(whole)
    os.replace(last, f"{last}.damaged")
    copy_whole(str(folder / name), str(last), overwrite=True)
    logger.warning(
        f"{last} is damaged (kept as {last.name}.damaged); going on from {name}, the newest whole "
        f"checkpoint, at update {updates}"
    )


def _updates_of(path: Path) -> int | None:
    """Return how many updates a checkpoint has seen; None when it is damaged.

    Every byte is compared with the sums that the file carries: torch does not.
    """
    is_zip = zipfile.is_zipfile(path)
    try:
        if damaged_member(path) is not None:
            return None
        state = read_checkpoint_file(path, only_settings=True)
        return int(state["optimizer_history"][-1]["num_updates"])
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    except CheckpointError:
        # A whole file that is no checkpoint of ours is for fairseq to refuse, not to be replaced.
        return 0 if is_zip else None
    except (KeyError, IndexError, TypeError, ValueError):
        return 0  # without the training's state
