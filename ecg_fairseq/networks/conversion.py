"""What converters of other projects' checkpoints share: the report on every key, and the file.

Imports nothing of a system.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ecg_fairseq.errors import CheckpointError, EcgError, first_line
from ecg_fairseq.files import atomic_write


@dataclass
class ConversionReport:
    """What happened to every key.

    Attributes:
        source: the file that was read.
        model: its network, under the name of the result.
        num_parameters: of the result.
        matched: keys taken over as they are.
        renamed: old key -> new key.
        missing: keys of the network that the file lacks; they keep random values.
        unexpected: keys of the file that the network lacks; they are left out.
        wrong_shape: key -> "found, wanted"; treated as missing.
        notes: anything else worth knowing.
    """

    source: str
    model: str
    num_parameters: int = 0
    matched: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong_shape: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every tensor of both sides found its partner."""
        return not (self.missing or self.unexpected or self.wrong_shape)

    @property
    def summary(self) -> str:
        """One line of counts."""
        return (
            f"{self.model}, {self.num_parameters:,} parameters: {len(self.matched)} keys matched, "
            f"{len(self.renamed)} renamed, {len(self.missing)} missing, {len(self.unexpected)} "
            f"unexpected, {len(self.wrong_shape)} of another shape"
        )

    def lines(self) -> list[str]:
        """Return one line for every key, then the notes and the summary."""
        return [
            *(f"matched     {key}" for key in self.matched),
            *(f"renamed     {old} -> {new}" for old, new in self.renamed.items()),
            *(f"missing     {key}" for key in self.missing),
            *(f"unexpected  {key}" for key in self.unexpected),
            *(f"shape       {key}: {shapes}" for key, shapes in self.wrong_shape.items()),
            *(f"note        {note}" for note in self.notes),
            self.summary,
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON and for the converted file."""
        return asdict(self)

    def account(self, state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
        """Sort every key of the network and of the file into the report.

        Args:
            state: the network's tensors.
            tensors: the file's, under the network's names.
        """
        new_names = {new: old for old, new in self.renamed.items()}
        for key, wanted in state.items():
            if key not in tensors:
                self.missing.append(key)
            elif tensors[key].shape != wanted.shape:
                found = f"{tuple(tensors[key].shape)}, wanted {tuple(wanted.shape)}"
                self.wrong_shape[key] = found
                self.renamed.pop(new_names.get(key, ""), None)
            elif key not in new_names:
                self.matched.append(key)
        self.unexpected = [key for key in tensors if key not in state]
        if self.missing or self.wrong_shape:
            self.notes.append(
                f"{len(self.missing) + len(self.wrong_shape)} tensors have random values"
            )

    def refuse_partial(self) -> None:
        """Refuse a file some of whose tensors found no partner; CheckpointError."""
        if self.is_complete:
            return
        examples = [*self.missing, *self.unexpected, *self.wrong_shape][:6]
        raise CheckpointError(
            f"{self.source} does not fit: {self.summary} (first: {', '.join(examples)}). Nothing "
            "was written. With --allow-partial what is missing gets random values and what is "
            "unexpected is left out"
        )


def two_files(source: Path | str, out: Path | str) -> tuple[Path, Path]:
    """Return both paths; CheckpointError when the result would replace what is read."""
    source, out = Path(source), Path(out)
    if out.is_dir():
        raise CheckpointError(f"{out} is a folder; give --out the name of a file")
    if out.exists() and source.exists() and out.samefile(source):
        raise CheckpointError(f"{out} is the file that is read; give --out another name")
    return source, out


def float32_tensors(
    stored: Any, source: Path, new_name: Mapping[str, str] | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the checked tensors of a file as float32, and notes on types that changed.

    Args:
        stored: what stands in the file.
        source: the file, for messages.
        new_name: keys to be renamed -> our names.

    Raises:
        CheckpointError: it is no mapping of names to tensors, holds a tensor twice, or numbers that
            are not finite.
    """
    is_named = isinstance(stored, Mapping) and stored and all(isinstance(k, str) for k in stored)
    if not is_named or not all(isinstance(tensor, Tensor) for tensor in stored.values()):
        raise CheckpointError(f"the 'model' entry of {source} does not map names to tensors")
    tensors, notes = {}, []
    for key, tensor in stored.items():
        new = (new_name or {}).get(key, key)
        if new in tensors:
            raise CheckpointError(f"{source} holds {new} twice, in both spellings")
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{key} in {source} holds numbers that are not finite")
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            notes.append(f"{key} was {tensor.dtype}".replace("torch.", "") + ", now float32")
            tensor = tensor.float()
        tensors[new] = tensor.detach().clone()
    return tensors, notes


def write_checkpoint(
    out: Path,
    cfg: Mapping[str, Any],
    model: Mapping[str, Tensor],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint in fairseq's layout, with weights but no optimizer state.

    Args:
        out: the file.
        cfg: settings by group.
        model: the network's tensors.
        extra: further or other entries of the file: ``task_state``, ``optimizer_history``, and
            ``converted``, the report that goes into ``extra_state``.
    """
    more = dict(extra or {})
    converted = more.pop("converted", None)
    state_of_run: dict[str, Any] = {"metrics": {}, "train_iterator": {"epoch": 1}}
    if converted is not None:
        state_of_run["converted"] = converted
    # fairseq takes an entry that lacks one of these for a file of its oldest versions.
    history = {
        "criterion_name": "",
        "optimizer_name": "",
        "num_updates": 0,
        **more.pop("history", {}),
        "lr_scheduler_state": {},
    }
    state = {
        "args": None,
        "cfg": dict(cfg),
        "model": dict(model),
        "criterion": None,
        "optimizer_history": [history],
        "task_state": {},
        "extra_state": state_of_run
        if converted is None
        else {**state_of_run, "converted": converted},
        "last_optimizer_state": None,
        **more,
    }
    save_torch_file(out, state)


def save_torch_file(out: Path, content: Any) -> None:
    """Write a file of tensors and plain values, whole or not at all.

    Raises:
        EcgError: the disk is full or the folder cannot be written.
    """
    try:
        with atomic_write(out, "wb") as stream:
            torch.save(content, stream)
    except RuntimeError as cause:
        # What torch's writer makes of a disk that takes no more.
        raise EcgError(
            f"cannot write {out}: {first_line(cause)}; free some space or choose another folder, "
            "then run the same command again (nothing was written under that name)"
        ) from cause


def refuse_own(content: Any, source: Path, project: str) -> None:
    """Refuse a checkpoint of this package that is given as another project's.

    Its recipe, leads, and training patients would be lost.

    Args:
        content: of the file.
        source: the file, for the message.
        project: whose file was expected, as ``ecg-fairseq convert`` calls it.

    Raises:
        CheckpointError: it says by which recipe or on which split it was trained, as ours do.
    """
    task_state = content.get("task_state") if isinstance(content, Mapping) else None
    if isinstance(task_state, Mapping) and {"recipe", "split_hash"} & set(task_state):
        raise CheckpointError(
            f"{source} is a checkpoint of this package already, so there is nothing to convert "
            f"from {project}; use it as it is, or write {project}'s file from it with --to "
            f"{project}"
        )
