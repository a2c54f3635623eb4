"""A manifest of 12-lead segments and a pretrained encoder, for runs of ECG-FM."""

from pathlib import Path

import pytest
from ecg_fm_manifest import SMALL_ENCODER, SMALL_HEAD, make_ecg_fm_manifest
from fairseq_in_process import train


@pytest.fixture(scope="session")
def segments(tmp_path_factory) -> Path:
    """72 training segments in 36 pairs: 9 batches of 4, so that two processes get unlike many."""
    return make_ecg_fm_manifest(tmp_path_factory.mktemp("segments"), 30)


@pytest.fixture(scope="session")
def pretrained(segments, tmp_path_factory) -> Path:
    """Two updates of joint pretraining."""
    folder = tmp_path_factory.mktemp("pretrained")
    return train(segments, folder, *SMALL_ENCODER, *SMALL_HEAD, name="w2v_cmsc_rlm_tiny")
