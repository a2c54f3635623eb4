"""How worker processes hand batches to the training process: in shared memory that is used again.

torch maps new shared memory for every tensor; the kernel clears it page by page, the training
process frees it page by page, and a socket carries each descriptor. That is several times what
loading a batch from the store costs. Here a worker keeps a few slots of shared memory, fills one
with the signals of a batch, and sends the slot's name with the small rest; the training process
maps a slot once, and says in the slot's first byte when it no longer uses the batch.

A slot is only filled again after that, however long a batch is kept. Where no slot is free or the
system has no memory files (Linux has them), a batch goes torch's way.
"""

import contextlib
import math
import mmap
import os
import threading
import weakref
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

MOST_SLOTS = 16
# Signals start on a page of their own.
_HEAD_BYTES = mmap.PAGESIZE
_FREE, _IN_USE = 0, 1

# Of the training process: slots by worker and number.
_known: dict[tuple[int, int], mmap.mmap] = {}
_lock = threading.RLock()


class Slot:
    """Shared memory for one batch at a time, in a worker process.

    Args:
        num_bytes: of the signals.
        number: among the slots of this process.
    """

    def __init__(self, num_bytes: int, number: int) -> None:
        self.num_bytes = num_bytes
        self.name = (os.getpid(), number)
        self.is_known = False
        self.descriptor = os.memfd_create("ecg_fairseq")
        os.ftruncate(self.descriptor, _HEAD_BYTES + num_bytes)
        self.memory = mmap.mmap(self.descriptor, _HEAD_BYTES + num_bytes)

    @property
    def is_free(self) -> bool:
        """Whether nobody uses what is in it."""
        return self.memory[0] == _FREE


class Use:
    """One filling of a slot; it ends in this process unless it is handed over."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.is_handed_over = False
        slot.memory[0] = _IN_USE

    def end(self) -> None:
        """Free the slot when the batch was thrown away here."""
        if not self.is_handed_over:
            self.slot.memory[0] = _FREE


class BatchMemory:
    """Where batches are assembled.

    In a worker process that is a free slot. Elsewhere numpy allocates an array: in large pages,
    which saves most of the time that filling new memory takes.
    """

    def __init__(self) -> None:
        self._slots: list[Slot] = []
        self._use: Use | None = None

    def rows(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return a float32 array of any content, to be filled and given to :meth:`batch`."""
        slot = self._free_slot(4 * math.prod(shape)) if get_worker_info() else None
        self._use = Use(slot) if slot else None
        if slot is None or self._use is None:
            return np.empty(shape, dtype=np.float32)
        rows = _array(slot.memory, shape)
        weakref.finalize(rows, self._use.end).atexit = False
        return rows

    def batch(self, rows: np.ndarray, content: dict[str, Any]) -> dict[str, Any]:
        """Return ``content`` with what :meth:`rows` gave as ``net_input.source``."""
        content["net_input"]["source"] = torch.from_numpy(rows)
        use, self._use = self._use, None
        return content if use is None else WorkerBatch(content, use)

    def _free_slot(self, num_bytes: int) -> Slot | None:
        for slot in self._slots:
            if slot.is_free and slot.num_bytes >= num_bytes:
                return slot
        if len(self._slots) == MOST_SLOTS or num_bytes == 0 or not hasattr(os, "memfd_create"):
            return None
        self._slots.append(Slot(num_bytes, len(self._slots)))
        return self._slots[-1]


class WorkerBatch(dict[str, Any]):
    """A batch in a worker process; pickled, it becomes a plain dictionary elsewhere."""

    def __init__(self, content: dict[str, Any], use: Use) -> None:
        super().__init__(content)
        self._use = use
        self._address = content["net_input"]["source"].data_ptr()

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how the training process makes the batch; the queue calls it when it sends."""
        source = self["net_input"]["source"]
        if source.data_ptr() != self._address:
            return dict, (dict(self),)
        slot = self._use.slot
        inputs = {name: value for name, value in self["net_input"].items() if name != "source"}
        rest = _packed({**self, "net_input": inputs})
        descriptor = None if slot.is_known else DupFd(slot.descriptor)
        slot.is_known = self._use.is_handed_over = True
        return received, (rest, slot.name, descriptor, tuple(source.shape))


def received(
    rest: dict[str, Any], name: tuple[int, int], descriptor: Any, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return a batch that a worker sent; its slot is free again once nobody holds the signals.

    Args:
        rest: the batch without its signals.
        name: of the slot.
        descriptor: of the slot's memory when it is sent for the first time.
        shape: of the signals, (B, L, T).
    """
    with _lock:
        if descriptor is not None:
            file = descriptor.detach()
            try:
                _known[name] = mmap.mmap(file, 0)
            finally:
                os.close(file)
        memory = _known[name]
    rows = _array(memory, shape)
    weakref.finalize(rows, _release, memory, os.getpid()).atexit = False
    batch = _unpacked(rest)
    batch["net_input"]["source"] = torch.from_numpy(rows)
    return batch


def _array(memory: mmap.mmap, shape: tuple[int, ...]) -> np.ndarray:
    """Return the signals of a slot: a new array object, whose end of life can be watched."""
    flat = np.frombuffer(memory, dtype=np.float32, count=math.prod(shape), offset=_HEAD_BYTES)
    return flat.reshape(shape)


def _release(memory: mmap.mmap, process: int) -> None:
    """Say that a batch is no longer used; forget the slots of workers that have ended."""
    if os.getpid() != process:
        # A forked process holds a copy of the array object, not of the right to end its use.
        return
    memory[0] = _FREE
    with _lock:
        for worker in {worker for worker, _ in _known}:
            if not _is_alive(worker):
                for name in [name for name in _known if name[0] == worker]:
                    del _known[name]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True, slots=True, eq=False)
class _Packed:
    """A small tensor by its values, which needs no memory of its own to be sent."""

    values: np.ndarray


def _packed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _packed(inner) for name, inner in value.items()}
    if isinstance(value, torch.Tensor):
        with contextlib.suppress(TypeError, RuntimeError):
            return _Packed(value.numpy())
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unpacked(inner) for name, inner in value.items()}
    return torch.from_numpy(value.values) if isinstance(value, _Packed) else value
