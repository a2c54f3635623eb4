"""One manifest and one trained checkpoint for the whole folder; tests copy what they change."""

import shutil
from pathlib import Path

import pytest
from fairseq_in_process import SMALL, train
from toy_manifest import make_manifest

from ecg_fairseq.records.manifest import Manifest


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Manifest:
    """The toy manifest; read only."""
    return make_manifest(tmp_path_factory.mktemp("toy"), 15)


@pytest.fixture
def toy_copy(toy, tmp_path) -> Path:
    """A manifest folder that a test may change."""
    shutil.copytree(toy.path.parent, tmp_path / "copy")
    return tmp_path / "copy" / toy.path.name


@pytest.fixture(scope="session")
def checkpoint(toy, tmp_path_factory) -> Path:
    """Sixty updates of a small model on the toy manifest: it answers in known words."""
    return train(
        toy.path,
        tmp_path_factory.mktemp("checkpoints"),
        *SMALL,
        "optimization.max_update=60",
        "optimization.lr=[0.01]",
        "lr_scheduler.warmup_updates=5",
        "lr_scheduler.lr_period_updates=60",
        "dataset.validate_interval_updates=60",
        "checkpoint.save_interval_updates=60",
    )
