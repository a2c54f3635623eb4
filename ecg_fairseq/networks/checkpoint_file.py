"""Reads fairseq checkpoints without fairseq and without executing anything in them."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ecg_fairseq.errors import CheckpointError, first_line

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


def read_checkpoint_file(path: Path | str, only_settings: bool = False) -> dict[str, Any]:
    """Load a checkpoint on the CPU.

    Args:
        path: the file.
        only_settings: leave tensors in the file until they are used, where its format allows.

    Raises:
        CheckpointError: it is missing, truncated, not a checkpoint, or holds pickled objects.
    """
    state = read_torch_file(path, only_settings)
    if not isinstance(state, dict) or "model" not in state:
        raise CheckpointError(f"{path} is not a fairseq checkpoint: it has no 'model' entry")
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
    try:
        is_mapped = only_settings and zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except pickle.UnpicklingError as cause:
        raise CheckpointError(
            f"checkpoint {path} holds pickled objects or is damaged, and is not loaded: files from "
            f"elsewhere could run code ({first_line(cause)})"
        ) from cause
    except (OSError, RuntimeError, EOFError, zipfile.BadZipFile, *_DAMAGED_PICKLE) as cause:
        raise CheckpointError(
            f"checkpoint {path} is truncated or not a torch file: {first_line(cause)}"
        ) from cause
