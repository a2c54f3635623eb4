"""Mutated CODE-15% parts."""

import numpy as np
import pytest
from foreign_files import made_steps, write_hdf5
from mutation import check_reader


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"chunks": (1, 60, 12), "compression": "gzip"}])
def test_mutated_parts(tmp_path, options):
    signals = np.stack([made_steps(12, 60, seed).T for seed in range(3)])
    write_hdf5(tmp_path / "p.hdf5", signals, **options)
    tokens = (b"tracings", b"exam_id", b"TREE", b"SNOD", b"HEAP", b"\xff" * 8, b"\0" * 8)
    generator = np.random.default_rng(5)
    check_reader(tmp_path / "p.hdf5", generator, tokens, lambda path: f"{path}:1")
