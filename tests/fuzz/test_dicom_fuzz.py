"""Mutated DICOM ECGs."""

import numpy as np
import pytest
from foreign_files import TWELVE, made_steps, write_dicom
from mutation import check_reader

pytest.importorskip("pydicom", reason="pydicom is not installed (extra dicom)")


@pytest.mark.slow
def test_mutated_dicom_files(tmp_path):
    write_dicom(tmp_path / "d.dcm", made_steps(3, 60), TWELVE[:3])
    tokens = (b"SQ", b"OW", b"\xff\xff\xff\xff", b"DICM", b"\xfe\xff\x0d\xe0", b"1e999", b"uV")
    check_reader(tmp_path / "d.dcm", np.random.default_rng(10), tokens)
