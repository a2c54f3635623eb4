"""Memory of batches: what worker processes hand over is what they were given."""

import os

import numpy as np
import pytest
import torch
from torch.multiprocessing import get_sharing_strategy, set_sharing_strategy
from torch.utils.data import DataLoader

from ecg_fairseq.compat import shared_copy
from ecg_fairseq.data.signal_batch import BatchMemory


class Counting(torch.utils.data.Dataset):
    """Item i is a row of i; batches are assembled in one worker's memory."""

    def __init__(self) -> None:
        self.memory = BatchMemory()

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, items: list[int]) -> torch.Tensor:
        rows = self.memory.rows((len(items), 12, 50))
        rows[...] = np.array(items)[:, None, None]
        return self.memory.tensor(rows)


@pytest.mark.parametrize("strategy", ["file_descriptor", "file_system"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_that_are_kept_do_not_change(strategy, num_workers):
    before = get_sharing_strategy()
    set_sharing_strategy(strategy)
    try:
        dataset = Counting()
        loader = DataLoader(
            dataset, batch_size=7, collate_fn=dataset.collate, num_workers=num_workers
        )
        batches = list(loader)
    finally:
        set_sharing_strategy(before)
    assert torch.cat(batches).amax((1, 2)).tolist() == list(range(60))
    assert torch.cat(batches).amin((1, 2)).tolist() == list(range(60))
    batches[0] += 1
    assert batches[1].amax() == 13


def test_a_shared_copy_is_one(monkeypatch):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    shared = shared_copy(values)
    assert shared.is_shared()
    values[0] = 0
    assert shared.flatten().tolist() == list(range(24))
    monkeypatch.delattr(os, "memfd_create", raising=False)
    copied = shared_copy(values)
    values[1] = -1
    assert copied.flatten().tolist() == [0] * 12 + list(range(12, 24))
    assert shared_copy(np.empty((0, 12, 5), dtype=np.float32)).shape == (0, 12, 5)
