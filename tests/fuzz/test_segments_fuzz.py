"""Mutated master headers of WFDB records of several segments."""

import numpy as np
import pytest
import wfdb
from mutation import check_reader

TOKENS = (b"~", b"/2", b"/99999", b"a", b"m", b"l", b"99999999999999", b"-1", b"0.5", b"../", b"\n")


@pytest.mark.slow
def test_mutated_master_headers(tmp_path):
    generator = np.random.default_rng(11)
    for name in ("a", "b"):
        wfdb.wrsamp(
            name,
            fs=250,
            sig_name=["I", "II", "V1"],
            units=["mV"] * 3,
            d_signal=generator.integers(-900, 900, (300, 3)),
            fmt=["16"] * 3,
            adc_gain=[200.0] * 3,
            baseline=[0] * 3,
            write_dir=str(tmp_path),
        )
    (tmp_path / "m.hea").write_text("m/4 3 250 700\na 300\n~ 50\nb 300\n~ 50\n")
    check_reader(tmp_path / "m.hea", generator, TOKENS)
