"""Foreign and damaged checkpoints: nothing in them runs, and the message says what is wrong."""

import argparse
import datetime
import os
import pickle

import pytest
import torch

from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file, read_torch_file
from ecg_fairseq.networks.language_model.trained_system import load_trained_system
from ecg_fairseq.networks.trained import open_pretrained_encoder, open_trained


class Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickled_code_is_not_executed(tmp_path):
    trap, flag = tmp_path / "trap.pt", tmp_path / "executed"
    torch.save({"model": {}, "args": Trap(flag)}, trap)
    with pytest.raises(CheckpointError, match="pickled objects"):
        read_checkpoint_file(trap)
    trap.write_bytes(pickle.dumps({"model": Trap(flag)}))
    with pytest.raises(CheckpointError):
        read_checkpoint_file(trap)
    assert not flag.exists()


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (Trap("x"), "posix.mkdir"),
        (datetime.date(2026, 1, 1), "datetime.date"),
        (argparse.Namespace(seed=1), "argparse.Namespace"),
        (len, "len"),
    ],
)
def test_a_refusal_names_what_was_met_and_passes_no_advice_on(tmp_path, content, named, is_zip):
    path = tmp_path / "foreign.pt"
    torch.save({"model": {}, "args": content}, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(CheckpointError, match=r"ecg-fairseq convert") as raised:
        read_checkpoint_file(path)
    text = str(raised.value)
    assert named in text
    for advice in ("weights_only", "trust", "two options", "\x1b"):
        assert advice not in text


def test_missing_truncated_and_other_files(tmp_path):
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(CheckpointError, match="not found"):
        read_checkpoint_file(path)
    torch.save({"model": {"weight": torch.zeros(1000)}}, path)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"truncated|damaged"):
            read_checkpoint_file(path)
    path.write_text("not a checkpoint")
    with pytest.raises(CheckpointError):
        read_checkpoint_file(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="no 'model' entry"):
        read_checkpoint_file(path)


def test_a_checkpoint_of_another_model_is_named(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"model": {}, "cfg": {"model": {"_name": "wav2vec2"}}, "task_state": {}}, path)
    with pytest.raises(CheckpointError, match=r"model 'wav2vec2'.*wants one of ecg_llm"):
        load_trained_system(path)


def test_a_folder_is_said_to_be_one(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="is a folder; give a checkpoint file in it"):
        read_checkpoint_file(tmp_path)


def _write_checkpoint(path, weight):
    state = {"model": {"bias": torch.zeros(3), "encoder.weight": weight}}
    torch.save(state, path)


def test_a_flipped_byte_inside_a_tensor_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    weight = torch.arange(4096.0)
    _write_checkpoint(path, weight)
    whole = path.read_bytes()
    start = whole.index(weight.numpy().tobytes())
    flipped = bytes(byte ^ 0x01 for byte in whole[start + 800 : start + 1200])
    path.write_bytes(whole[: start + 800] + flipped + whole[start + 1200 :])
    torch.load(path, weights_only=True)  # torch sees nothing
    for open_it in (read_checkpoint_file, read_torch_file, open_trained, open_pretrained_encoder):
        with pytest.raises(CheckpointError, match=r"the checksum of .*data/1 is wrong; copy"):
            open_it(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, value, dtype):
    path = tmp_path / "checkpoint.pt"
    weight = torch.zeros(4, 5, dtype=dtype)
    weight[2, 3] = value
    _write_checkpoint(path, weight)
    for open_it in (read_checkpoint_file, open_trained, open_pretrained_encoder):
        with pytest.raises(CheckpointError, match=r"tensor encoder\.weight is not finite \(1 val"):
            open_it(path)
    assert "encoder.weight" in read_checkpoint_file(path, only_settings=True)["model"]
