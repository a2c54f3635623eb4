"""Mutated CSV and ``.npy`` arrays, and their sidecars."""

import numpy as np
import pytest
from foreign_files import TWELVE, made_steps, write_csv
from mutation import check_reader, is_read, mutated

TOKENS = (b",", b";", b"\t", b"\n", b"nan", b"1e999", b"-1e-999", b'"', b"V1", b"time", b"\xff")
JSON_TOKENS = (b"[", b"{", b"null", b"1e999", b"-1", b'"V1"', b"true", b'"unit": "V"', b"NaN")


@pytest.mark.slow
@pytest.mark.parametrize("fs_hz", [None, 250.0])
def test_mutated_csv_files(tmp_path, fs_hz):
    write_csv(tmp_path / "c.csv", made_steps(12, 60) / 1000, TWELVE, fs_hz)
    (tmp_path / "c.json").write_text('{"fs_hz": 250}')
    check_reader(tmp_path / "c.csv", np.random.default_rng(7), TOKENS)


@pytest.mark.slow
def test_mutated_npy_files(tmp_path):
    np.save(tmp_path / "n.npy", made_steps(3, 60) / np.float32(1000))
    (tmp_path / "n.json").write_text('{"leads": ["I", "II", "V1"], "fs_hz": 250}')
    tokens = (b"'descr'", b"<f8", b"|O", b"(3, 60)", b"999999999999", b"-1", b"True", b"{}")
    check_reader(tmp_path / "n.npy", np.random.default_rng(8), tokens)


@pytest.mark.slow
def test_mutated_sidecars(tmp_path):
    np.save(tmp_path / "n.npy", made_steps(3, 60) / np.float32(1000))
    sound = b'{"leads": ["I", "II", "V1"], "fs_hz": 250, "unit": "mV"}'
    generator = np.random.default_rng(9)
    num_read = 0
    for _ in range(2000):
        (tmp_path / "n.json").write_bytes(mutated(sound, generator, JSON_TOKENS))
        num_read += is_read(str(tmp_path / "n.npy"))
    assert 0 < num_read < 2000
