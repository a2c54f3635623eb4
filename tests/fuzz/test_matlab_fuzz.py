"""Mutated ``.mat`` files of fairseq-signals and of the PhysioNet challenge."""

import numpy as np
import pytest
from foreign_files import made_steps, write_matlab4, write_matlab5
from mutation import check_reader

TOKENS = (b"feats", b"curr_sample_rate", b"mean", b"MI", b"\x0e\0\0\0", b"\x0f\0\0\0")


@pytest.mark.slow
@pytest.mark.parametrize("is_compressed", [False, True])
def test_mutated_matlab5_files(tmp_path, is_compressed):
    write_matlab5(tmp_path / "a.mat", made_steps(12, 60) / np.float32(1000), is_compressed)
    check_reader(tmp_path / "a.mat", np.random.default_rng(is_compressed), TOKENS)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mat", ".hea"])
def test_mutated_challenge_records(tmp_path, suffix):
    write_matlab4(tmp_path / "E1.mat", made_steps(12, 60))
    tokens = (b"val\0", b"+24", b"16x2", b"../", b"1e9", b"-1", b"\xff\xfe", b" 0 I\n")
    check_reader(tmp_path / f"E1{suffix}", np.random.default_rng(4), tokens)
