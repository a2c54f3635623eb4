"""Reads fairseq checkpoints without fairseq and without executing anything in them."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ecg_fairseq.errors import CheckpointError, first_line

# How torch names an object that a file asks for and that is no plain type or tensor.
_FOREIGN_NAME = re.compile(r"GLOBAL ([\w.]+)")
# What torch's restricted reader runs into when instructions of a pickle are damaged.
_DAMAGED_PICKLE = (ValueError, KeyError, IndexError, TypeError, AttributeError)


def model_settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a checkpoint's model; empty where it holds none.

    Args:
        state: what :func:`read_checkpoint_file` gave.
    """
    cfg = state.get("cfg")
    model = cfg.get("model") if isinstance(cfg, dict) else None
    return model if isinstance(model, dict) else {}


def damaged_member(path: Path | str) -> str | None:
    """Return the first member of a zip archive that does not match its checksum; None if all do.

    torch does not look at these sums. A file that is no zip (torch's older format) carries none.

    Raises:
        Exception: the archive's directory is damaged; zipfile has no one error for that.
    """
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def check_sums(path: Path | str) -> None:
    """Refuse an archive whose content does not match its checksums; the file is read once.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        damaged = damaged_member(path)
    except Exception as cause:
        raise CheckpointError(f"checkpoint {path} is damaged: {cause!r}; copy it again") from cause
    if damaged is not None:
        raise CheckpointError(
            f"checkpoint {path} is damaged: the checksum of {damaged} is wrong; copy it again"
        )


def check_is_finite(state: Mapping[str, Any], path: Path | str) -> None:
    """Refuse a checkpoint whose weights diverged; everything computed with them means nothing.

    Args:
        state: what :func:`read_checkpoint_file` gave.
        path: of the file, for the message.

    Raises:
        CheckpointError: a tensor of the model holds NaN or infinity; names the first.
    """
    model = state["model"]
    tensors = model.items() if isinstance(model, Mapping) else ()
    for name, tensor in tensors:
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            continue
        num_bad = int((~tensor.isfinite()).sum())
        if num_bad:
            raise CheckpointError(
                f"{path}: tensor {name} is not finite ({num_bad} values are NaN or infinite), so "
                "the weights have diverged or are damaged; use an earlier checkpoint"
            )


def pickle_refusal(path: Path | str, cause: pickle.UnpicklingError) -> CheckpointError:
    """Return the error about a file that asks for more than plain types and tensors.

    torch's own message is left out: it tells how to switch its check off, which would run what is
    inside.
    """
    found = _FOREIGN_NAME.search(str(cause))
    what = (
        f"holds pickled objects (it names {found[1]})"
        if found
        else "holds pickled objects or is damaged"
    )
    return CheckpointError(
        f"checkpoint {path} {what}, and is not loaded: such files could run code; give a "
        "checkpoint of this package, or bring a published one in with `ecg-fairseq convert`"
    )


def read_checkpoint_file(path: Path | str, only_settings: bool = False) -> dict[str, Any]:
    """Load a checkpoint on the CPU.

    Args:
        path: the file.
        only_settings: leave tensors in the file until they are used, where its format allows;
            neither its checksums nor its weights are looked at then.

    Raises:
        CheckpointError: it is missing, truncated, damaged, not a checkpoint, holds pickled objects,
            or weights that are not finite.
    """
    state = read_torch_file(path, only_settings)
    if not isinstance(state, dict) or "model" not in state:
        raise CheckpointError(f"{path} is not a fairseq checkpoint: it has no 'model' entry")
    if not only_settings:
        check_is_finite(state, path)
    return state


def read_torch_file(path: Path | str, only_settings: bool = False) -> Any:
    """Load a file of tensors and plain values on the CPU; nothing in it is executed.

    Arguments and errors as of :func:`read_checkpoint_file`, but it may hold anything.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give a checkpoint file in it (.pt)")
    if not path.is_file():
        raise CheckpointError(f"checkpoint not found: {path}")
    if not only_settings:
        check_sums(path)
    try:
        is_mapped = only_settings and zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except pickle.UnpicklingError as cause:
        raise pickle_refusal(path, cause) from cause
    except (OSError, RuntimeError, EOFError, zipfile.BadZipFile, *_DAMAGED_PICKLE) as cause:
        raise CheckpointError(
            f"checkpoint {path} is truncated or not a torch file: {first_line(cause)}"
        ) from cause
