"""A training command typed again: what is finished stays as it is, what is damaged is mended."""

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq_in_process import SMALL, train, validate

from ecg_fairseq.compat.whole_checkpoints import copy_whole, save_whole
from ecg_fairseq.data.tokens.cached_tokens import load_ecg_tokens
from ecg_fairseq.data.tokens.registered_tokenizer import registered_tokenizer
from ecg_fairseq.errors import CheckpointError, EcgError, ManifestError
from ecg_fairseq.files import write_json
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.store import write_shard

# One epoch of the toy manifest's training split has 8 batches of 4 sequences.
SIX = (
    *SMALL,
    "optimization.max_update=6",
    "lr_scheduler.warmup_updates=2",
    "lr_scheduler.lr_period_updates=6",
    "dataset.validate_interval_updates=3",
    "checkpoint.save_interval_updates=3",
)


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file's time of change and bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def state_of(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def last_update(folder: Path) -> int:
    return state_of(folder / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"]


@pytest.fixture(scope="module")
def six_updates(toy, tmp_path_factory) -> Path:
    """A finished run; tests copy it."""
    return train(toy.path, tmp_path_factory.mktemp("six"), *SIX).parent


@pytest.fixture
def finished(six_updates, tmp_path) -> Path:
    return shutil.copytree(six_updates, tmp_path / "run", copy_function=shutil.copy2)


@pytest.mark.parametrize(
    "limit", [(), ("optimization.max_update=5",), ("optimization.max_epoch=1",)], ids=str
)
def test_a_finished_command_typed_again_touches_nothing(toy, finished, limit, caplog):
    if "optimization.max_epoch=1" in limit:
        train(toy.path, finished, *SIX, "optimization.max_update=0", *limit)
    before = files_of(finished)
    update = last_update(finished)
    caplog.set_level(logging.INFO)
    train(toy.path, finished, *SIX, *limit)
    assert f"finished at update {update}; nothing to do" in caplog.text
    assert files_of(finished) == before


def test_a_finished_finetuning_typed_again_touches_nothing(segments, pretrained, tmp_path, caplog):
    command = (f"model.model_path={pretrained}",)
    train(segments, tmp_path, *command, name="diagnosis_tiny")
    before = files_of(tmp_path)
    caplog.set_level(logging.INFO)
    train(segments, tmp_path, *command, name="diagnosis_tiny")
    assert "finished at update 2; nothing to do" in caplog.text
    assert files_of(tmp_path) == before


def test_a_finished_finetuning_from_a_fairseq_checkpoint(toy, six_updates, tmp_path, caplog):
    command = (*SIX, f"checkpoint.finetune_from_model={six_updates / 'checkpoint_last.pt'}")
    train(toy.path, tmp_path, *command)
    assert last_update(tmp_path) == 6, "finetuning counts its own updates"
    before = files_of(tmp_path)
    caplog.set_level(logging.INFO)
    train(toy.path, tmp_path, *command)
    assert "finished at update 6; nothing to do" in caplog.text
    assert files_of(tmp_path) == before


def test_a_run_that_patience_ended_stays_ended(toy, tmp_path, caplog):
    impatient = (
        *SIX,
        "optimization.max_update=40",
        "optimization.lr=[0.0]",
        "lr_scheduler.warmup_init_lr=0.0",
        "checkpoint.patience=2",
    )
    train(toy.path, tmp_path, *impatient)
    update = last_update(tmp_path)
    assert update < 40
    before = files_of(tmp_path)
    caplog.set_level(logging.INFO)
    train(toy.path, tmp_path, *impatient)
    assert f"finished at update {update}; nothing to do (checkpoint.patience=2)" in caplog.text
    assert files_of(tmp_path) == before


def final_rate(folder: Path) -> float:
    state = state_of(folder / "checkpoint_last.pt")
    return state["last_optimizer_state"]["param_groups"][0]["lr"]


def test_a_raised_max_update_goes_on_with_the_longer_runs_cosine(toy, tmp_path, caplog):
    options = (*SIX, "lr_scheduler.lr_period_updates=-1")
    caplog.set_level(logging.INFO)
    train(toy.path, tmp_path / "short", *options)
    train(toy.path, tmp_path / "short", *options, "optimization.max_update=9")
    said = "optimization.max_update was 6 and is 9: going on at update 6"
    assert said in caplog.text
    train(toy.path, tmp_path / "long", *options, "optimization.max_update=9")
    assert caplog.text.count(said) == 1
    assert last_update(tmp_path / "short") == 9
    assert final_rate(tmp_path / "short") == final_rate(tmp_path / "long")


def test_a_raised_max_update_goes_on_with_the_longer_runs_stages(segments, pretrained, tmp_path):
    options = (f"model.model_path={pretrained}", "lr_scheduler.phase_ratio=[0.25,0.25,0.5]")
    for folder, updates in (("short", 4), ("short", 6), ("long", 6)):
        train(
            segments, tmp_path / folder, *options, f"optimization.max_update={updates}",
            name="diagnosis_tiny",
        )  # fmt: skip
    assert last_update(tmp_path / "short") == 6
    assert final_rate(tmp_path / "short") == final_rate(tmp_path / "long")


def test_another_seed_or_batch_size_is_one_warning(toy, finished, caplog):
    train(
        toy.path, finished, *SIX, "optimization.max_update=7", "common.seed=9",
        "dataset.batch_size=2",
    )  # fmt: skip
    warnings = [r.message for r in caplog.records if "resumed with other settings" in r.message]
    assert len(warnings) == 1
    assert "common.seed 1 -> 9, dataset.batch_size 4 -> 2" in warnings[0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(os.urandom(4096))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, empty, garble, flip_a_byte])
def test_a_damaged_last_checkpoint_is_replaced_by_the_newest_whole_one(
    toy, finished, damage, caplog
):
    last = finished / "checkpoint_last.pt"
    whole = state_of(last)["model"]
    damage(last)
    cut(finished / "checkpoint_best.pt")
    newest = max(finished.glob("checkpoint_*_6.pt"))
    assert newest.is_file()
    caplog.set_level(logging.INFO)
    train(toy.path, finished, *SIX)
    lines = [r.message for r in caplog.records if "is damaged" in r.message]
    assert len(lines) == 1
    assert f"going on from {newest.name}" in lines[0]
    assert "finished at update 6; nothing to do" in caplog.text
    mended = state_of(last)["model"]
    assert all(torch.equal(mended[key], whole[key]) for key in whole)


def test_without_a_whole_checkpoint_the_run_stops(toy, finished):
    for path in finished.glob("*.pt"):
        cut(path)
    before = files_of(finished)
    with pytest.raises(CheckpointError, match=r"no other checkpoint of .* is whole; remove it"):
        train(toy.path, finished, *SIX)
    assert files_of(finished) == before


def test_a_copy_that_fails_keeps_the_earlier_file(tmp_path, monkeypatch):
    source, target = tmp_path / "new.pt", tmp_path / "last.pt"
    source.write_bytes(b"new" * 1000)
    target.write_bytes(b"old")

    def fail(source, target, length=0):
        target.write(b"ne")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(EcgError, match="No space left on device"):
        copy_whole(str(source), str(target), overwrite=True)
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "new.pt"]
    monkeypatch.undo()
    assert copy_whole(str(source), str(target), overwrite=True)
    assert target.read_bytes() == source.read_bytes()


def test_a_save_that_fails_once_is_whole(tmp_path, monkeypatch):
    save, calls = torch.save, []

    def fail_once(value, stream):
        calls.append(stream)
        if len(calls) == 1:
            stream.write(b"half")
            raise RuntimeError("a full disk, for a moment")
        save(value, stream)

    monkeypatch.setattr(torch, "save", fail_once)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    save_whole({"model": {}}, str(tmp_path / "a.pt"))
    assert state_of(tmp_path / "a.pt") == {"model": {}}


def flip_in_store(manifest: Path) -> None:
    flip_a_byte(manifest / "store/shard-00000.npy")


def test_training_on_a_damaged_store_writes_no_checkpoint(segments_copy, pretrained, tmp_path):
    flip_in_store(segments_copy)
    command = (f"model.model_path={pretrained}",)
    with pytest.raises(ManifestError, match=r"shard-00000\.npy was changed after it was written"):
        train(segments_copy, tmp_path / "run", *command, name="diagnosis_tiny")
    assert not list((tmp_path / "run").glob("*.pt"))


def test_a_damaged_store_is_not_evaluated(segments_copy, finetuned):
    flip_in_store(segments_copy)
    with pytest.raises(ManifestError, match=r"shard-00000\.npy was changed after it was written"):
        validate("ecg_classification", segments_copy, finetuned)


def test_tokens_are_those_of_the_stores_order(toy_copy):
    """The cache went by the set of records; in another order it held those of others."""
    manifest = Manifest.load(toy_copy)
    tokenizer = registered_tokenizer(manifest, None)
    first = load_ecg_tokens(manifest, tokenizer)[0].tolist()
    values = np.stack([manifest.store.read(row) for row in range(len(manifest.store))])
    shard = write_shard(toy_copy, 0, [values[::-1]], manifest.shape, "float32")
    meta = json.loads((toy_copy / "meta.json").read_text())
    meta["store"]["shards"] = [shard.to_dict()]
    write_json(toy_copy / "meta.json", meta)
    turned = load_ecg_tokens(Manifest.load(toy_copy), tokenizer)
    assert turned[len(values) - 1].tolist() == first
