"""Mutated MUSE XML files."""

import numpy as np
import pytest
from foreign_files import EIGHT, made_steps, write_muse
from mutation import check_reader

TOKENS = (
    *(b"<", b">", b"&", b"&amp;", b"&x;", b"<!ENTITY x 'y'>", b"]>", b"<![CDATA[", b"]]>", b"<a>"),
    *(b"</LeadData>", b"<LeadData>", b"<Waveform>", b"Rhythm", b"1e999", b"-1", b"nan", b"====="),
    *(b"\xff\xfe", b"\0", b"99999999999999999999", b"<LeadID>II</LeadID>", b"<a " + b"x='1' " * 99),
)


@pytest.mark.slow
def test_mutated_muse_files(tmp_path):
    write_muse(tmp_path / "m.xml", made_steps(len(EIGHT), 80))
    check_reader(tmp_path / "m.xml", np.random.default_rng(6), TOKENS)
