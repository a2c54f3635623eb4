"""One manifest and one trained checkpoint for the whole folder; tests copy what they change."""

import shutil
from pathlib import Path

import pytest
from ecg_fm_manifest import SMALL_ENCODER, SMALL_HEAD, make_ecg_fm_manifest
from fairseq_in_process import SMALL, train
from toy_manifest import make_manifest

from ecg_fairseq.records.manifest.folder import Manifest


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


@pytest.fixture(scope="session")
def segments(tmp_path_factory) -> Path:
    """The toy manifest of 12-lead segments; read only."""
    return make_ecg_fm_manifest(tmp_path_factory.mktemp("segments"))


@pytest.fixture
def segments_copy(segments, tmp_path) -> Path:
    """A manifest of segments that a test may change."""
    shutil.copytree(segments, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="session")
def pretrained(segments, tmp_path_factory) -> Path:
    """Two updates of joint pretraining, of another size than the YAMLs'."""
    folder = tmp_path_factory.mktemp("pretrained")
    return train(segments, folder, *SMALL_ENCODER, *SMALL_HEAD, name="w2v_cmsc_rlm_tiny")


@pytest.fixture(scope="session")
def finetuned(segments, pretrained, tmp_path_factory) -> Path:
    """Two updates of finetuning to labels."""
    folder = tmp_path_factory.mktemp("finetuned")
    return train(segments, folder, f"model.model_path={pretrained}", name="diagnosis_tiny")
