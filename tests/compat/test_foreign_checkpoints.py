"""fairseq's own reader of checkpoints refuses pickled objects in our words, not in torch's."""

import datetime
import traceback

import pytest
import torch
from fairseq import checkpoint_utils

import ecg_fairseq.tasks.ecg_qa  # noqa: F401 importing a task is what puts our reader in place
from ecg_fairseq.errors import CheckpointError


def test_fairseq_passes_no_advice_of_torch_on(tmp_path) -> None:
    path = tmp_path / "foreign.pt"
    torch.save({"model": {}, "args": datetime.date(2026, 1, 1)}, path)
    with pytest.raises(CheckpointError, match=r"datetime\.date.*ecg-fairseq convert") as raised:
        checkpoint_utils.load_checkpoint_to_cpu(str(path))
    # fairseq's programs show the whole traceback.
    assert "weights_only" not in "".join(traceback.format_exception(raised.value))


def test_a_plain_checkpoint_is_read_as_before(project_dir) -> None:
    path = project_dir / "tests/earlier_files/diagnosis.pt"
    state = checkpoint_utils.load_checkpoint_to_cpu(str(path))
    stored = torch.load(path, weights_only=True)
    assert state["model"].keys() == stored["model"].keys()
    assert all(torch.equal(state["model"][name], stored["model"][name]) for name in state["model"])
