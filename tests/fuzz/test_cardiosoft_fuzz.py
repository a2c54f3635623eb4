"""Mutated CardioSoft XML files."""

import numpy as np
import pytest
from foreign_files import cardiosoft_text, made_steps
from mutation import check_reader

TOKENS = (
    *(b"<", b">", b"&", b"&amp;", b"&x;", b"<!ENTITY x 'y'>", b"]>", b"<![CDATA[", b"]]>", b"<a>"),
    *(b"</StripData>", b"<StripData>", b"</Strip>", b"<Strip>", b"<WaveformData lead='I'>", b",,"),
    *(b"</WaveformData>", b"1e999", b"-1", b"nan", b"\xff\xfe", b"\0", b"9" * 30, b"_1", b"1" * 99),
    *(b"uVperLsb", b"<Resolution units='uVperLsb'>0</Resolution>", b"<a " + b"x='1' " * 99),
)


@pytest.mark.slow
@pytest.mark.parametrize("waveform", ["rhythm", "median"])
def test_mutated_cardiosoft_files(tmp_path, waveform):
    path = tmp_path / "m.xml"
    path.write_text(cardiosoft_text(made_steps(12, 80)), encoding="latin-1")
    check_reader(path, np.random.default_rng(7), TOKENS, address=lambda file: f"{file}:{waveform}")
