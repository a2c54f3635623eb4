"""Batches from worker processes: whatever is kept or thrown away, they hold what was loaded."""

import copy
import gc
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.multiprocessing import get_sharing_strategy, set_sharing_strategy
from torch.utils.data import DataLoader, Dataset

from ecg_fairseq.data import shared_memory_batches
from ecg_fairseq.data.shared_memory_batches import MOST_SLOTS, BatchMemory, WorkerBatch

COUNT = 120


class Counting(Dataset):
    """Item i is a row of i, batches of which have a few things besides."""

    def __init__(self, change: Callable[[dict], Any] = lambda batch: batch) -> None:
        self.memory = BatchMemory()
        self.change = change

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, items: list[int]) -> Any:
        rows = self.memory.rows((len(items), 12, 50 + items[0] % 3))
        rows[...] = np.array(items)[:, None, None]
        mask = torch.tensor(items)[:, None] > torch.arange(3)
        content = {
            "id": torch.tensor(items),
            "net_input": {"padding_mask": mask},
            "half": torch.ones(2, dtype=torch.bfloat16),
            "number": 3,
        }
        return self.change(self.memory.batch(rows, content))


def loader(dataset: Counting, batch_size: int = 2, num_workers: int = 2) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=batch_size,
        collate_fn=dataset.collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )


def holds(batch: dict) -> bool:
    """Whether every signal is that of its id."""
    source = batch["net_input"]["source"]
    return bool((source == batch["id"][:, None, None]).all())


@pytest.mark.parametrize("strategy", ["file_descriptor", "file_system"])
@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_batches_that_are_kept_do_not_change(strategy, num_workers):
    before = get_sharing_strategy()
    set_sharing_strategy(strategy)
    try:
        batches = list(loader(Counting(), num_workers=num_workers))
    finally:
        set_sharing_strategy(before)
    assert len(batches) == COUNT // 2 > 2 * MOST_SLOTS - 1
    assert all(map(holds, batches))
    assert torch.cat([batch["id"] for batch in batches]).tolist() == list(range(COUNT))
    for batch in batches:
        assert type(batch) is dict
        assert batch["net_input"]["padding_mask"].tolist() == [
            [number > at for at in range(3)] for number in batch["id"].tolist()
        ]
        assert batch["half"].tolist() == [1, 1]
        assert batch["number"] == 3
    batches[0]["net_input"]["source"] += 1
    batches[0]["id"] += 1
    assert all(map(holds, batches))


def test_slots_are_used_again_over_epochs():
    one = loader(Counting(), num_workers=2)
    places = set()
    for _ in range(3):
        for batch in one:
            assert holds(batch)
            places.add(batch["net_input"]["source"].data_ptr())
    assert len(places) <= 12 < 3 * COUNT // 2


def test_an_epoch_may_be_broken_off():
    one = loader(Counting(), num_workers=2)
    places = set()
    for _ in range(10):
        for number, batch in enumerate(one):
            assert holds(batch)
            places.add(batch["net_input"]["source"].data_ptr())
            if number == 3:
                break
    assert len(places) <= 12
    assert all(map(holds, list(one)))


@pytest.mark.parametrize(
    "kept",
    [
        lambda source: source[1:, 3],
        lambda source: source.numpy()[0],
        lambda source: source.view(2, -1).unbind(),
    ],
    ids=["slice", "numpy", "views"],
)
def test_a_part_keeps_the_whole(kept):
    one = loader(Counting(), num_workers=1)
    parts = []
    for _ in range(2):
        for number, batch in enumerate(one):
            if number < 5:
                part = kept(batch["net_input"]["source"])
                parts.append((part, copy.deepcopy(part)))
    assert len(parts) == 10
    for part, before in parts:
        for value, old in zip(part, before, strict=True):
            assert bool((value == old).all())


def replaced(batch: dict) -> dict:
    batch["net_input"]["source"] = batch["net_input"]["source"].clone()
    return batch


@pytest.mark.parametrize(
    "change",
    [
        dict,
        replaced,
        lambda batch: {**batch, "more": 1},
        lambda batch: {
            "id": batch["id"],
            "net_input": {"source": batch["net_input"]["source"] * 1},
        },
    ],
)
def test_a_batch_that_is_changed_in_the_worker_arrives(change):
    one = loader(Counting(change), num_workers=1)
    for _ in range(2):
        assert all([holds(batch) for batch in one])


def test_throwing_batches_away_in_the_worker_uses_up_no_slots(monkeypatch):
    memory = BatchMemory()
    monkeypatch.setattr(shared_memory_batches, "get_worker_info", lambda: True)
    for _ in range(5 * MOST_SLOTS):
        rows = memory.rows((2, 12, 50))
        batch = memory.batch(rows, {"net_input": {}})
        assert isinstance(batch, WorkerBatch)
        del rows, batch
    assert len(memory._slots) == 1
    held = [memory.rows((2, 12, 50)) for _ in range(MOST_SLOTS + 3)]
    assert len(memory._slots) == MOST_SLOTS
    for number, rows in enumerate(held):
        rows[...] = number
    assert [rows.max() for rows in held] == list(range(MOST_SLOTS + 3))


def test_a_forked_process_does_not_end_the_use():
    one = iter(loader(Counting(), num_workers=1))
    batch = next(one)
    child = os.fork()
    if child == 0:
        del batch
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    for _ in range(40):
        assert holds(next(one))
    assert holds(batch)


def test_slots_of_ended_workers_are_forgotten():
    one = loader(Counting(), num_workers=2)
    batches = list(one)
    workers = {worker.pid for worker in one._iterator._workers}
    assert {name[0] for name in shared_memory_batches._known} >= workers
    one._iterator._shutdown_workers()
    del batches[0]
    gc.collect()
    assert not {name[0] for name in shared_memory_batches._known} & workers
    assert all(map(holds, batches))


def test_without_memory_files_batches_go_the_usual_way(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert all(map(holds, list(loader(Counting(), num_workers=1))))
