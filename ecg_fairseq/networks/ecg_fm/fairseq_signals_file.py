"""Reads checkpoints of other projects without running anything that is in them.

Files of tensors and plain values load through torch's own restricted reader. Published files may
also hold objects of their framework (settings, meters, numpy numbers): those become inert records
of what they were. A file that asks for anything else is refused.
"""

import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file

# What a tensor or a plain value is made of; the only things that are really looked up.
_REAL = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    **{("builtins", kind.__name__): kind for kind in (set, frozenset, dict, list, tuple)},
    **{("builtins", kind.__name__): kind for kind in (int, float, bool, str, complex)},
    ("builtins", "long"): int,
    ("builtins", "unicode"): str,
}
# What pickle's older protocols, which torch writes, call these modules.
_NEW_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
# Packages whose objects a training framework leaves in its checkpoints; none is imported.
_INERT = {
    "argparse", "collections", "copyreg", "datetime", "enum", "fairseq", "fairseq_signals",
    "numpy", "omegaconf", "pathlib", "torch", "typing", "_codecs",
}  # fmt: skip


class Inert:
    """Stands for an object of another project; holds what was stored and does nothing."""

    origin = ""
    arguments: tuple[Any, ...]
    items: list[Any]

    def __new__(cls, *arguments: Any, **_: Any) -> "Inert":
        """Make an empty record; pickle may never call ``__init__``."""
        self = super().__new__(cls)
        self.arguments = arguments
        self.items = []
        self.state = None
        return self

    def __init__(self, *_: Any, **__: Any) -> None:
        """Accept whatever the object was made with; ``__new__`` keeps it."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def append(self, value: Any) -> None:
        """Keep an element."""
        self.items.append(value)

    def extend(self, values: Any) -> None:
        """Keep elements."""
        self.items.extend(values)

    def add(self, value: Any) -> None:
        """Keep an element."""
        self.items.append(value)


@dataclass(frozen=True)
class ForeignCheckpoint:
    """A checkpoint of another project.

    Attributes:
        path: the file.
        content: its entries; objects of other projects are :class:`Inert`.
        inert: names of the classes that were replaced.
    """

    path: Path
    content: dict[str, Any]
    inert: tuple[str, ...]


def read_foreign_checkpoint(path: Path | str) -> ForeignCheckpoint:
    """Load a checkpoint of another project on the CPU.

    Raises:
        CheckpointError: it is missing, damaged, not a checkpoint, or asks for code to be run.
    """
    path = Path(path)
    try:
        return ForeignCheckpoint(path, read_checkpoint_file(path), ())
    except CheckpointError as error:
        if not isinstance(error.__cause__, pickle.UnpicklingError) or not _is_plain_archive(path):
            raise
    met: dict[str, type] = {}
    try:
        content = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=_inert_pickle(met)
        )
    except pickle.UnpicklingError as cause:
        raise CheckpointError(f"checkpoint {path} is refused: {cause}") from cause
    except Exception as cause:
        # A damaged instruction stream can fail in any way; none of them runs code of the file.
        raise CheckpointError(f"checkpoint {path} is damaged: {cause!r}") from cause
    if not isinstance(content, dict) or "model" not in content:
        raise CheckpointError(f"{path} is not a fairseq checkpoint: it has no 'model' entry")
    return ForeignCheckpoint(path, content, tuple(sorted(met)))


def plain(value: Any) -> Any:
    """Return settings as dicts, lists, numbers and strings.

    OmegaConf and argparse objects are unpacked; what else is inert becomes its class name in angle
    brackets.
    """
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if not isinstance(value, Inert):
        is_plain = value is None or isinstance(value, bool | int | float | str)
        return value if is_plain else f"<{type(value).__name__}>"
    state = value.state[0] if isinstance(value.state, tuple) else value.state
    if isinstance(state, dict):
        for name in ("_content", "_val"):
            if name in state:
                return plain(state[name])
        if value.origin == "argparse.Namespace":
            return plain(state)
    return f"<{value.origin}>"


def _is_plain_archive(path: Path) -> bool:
    """Whether the file is a zip of tensors (TorchScript archives hold code and are not read)."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.rpartition("/")[2] for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return False
    return "data.pkl" in names and "constants.pkl" not in names


def _inert_pickle(met: dict[str, type]) -> type:
    """Return a stand-in for the pickle module that fills ``met`` with the classes it replaced."""

    class InertUnpickler(pickle.Unpickler):
        """Looks up tensors and plain types only."""

        def find_class(self, module: str, name: str) -> Any:
            """Return a real class, an inert one, or refuse."""
            module = _NEW_NAMES.get(module, module)
            if (module, name) in _REAL:
                return _REAL[module, name]
            if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
                return getattr(torch, name)
            origin = f"{module}.{name}"
            if module.split(".")[0] not in _INERT:
                raise pickle.UnpicklingError(
                    f"it asks for {origin}, which no checkpoint of weights and settings needs; do "
                    "not open it with other tools either"
                )
            return met.setdefault(origin, type("Inert", (Inert,), {"origin": origin}))

    class InertPickle:
        """The two names that torch.load takes from a pickle module."""

        Unpickler = InertUnpickler

        @staticmethod
        def load(stream: IO[bytes], **options: Any) -> Any:
            """Read one value."""
            return InertUnpickler(stream, **options).load()

    return InertPickle
