"""Mutated DICOM ECGs."""

import numpy as np
import pytest
from foreign_files import (
    TWELVE,
    dicom_group,
    made_steps,
    scp_channels,
    write_dicom,
    write_dicom_groups,
)
from mutation import check_reader

pytest.importorskip("pydicom", reason="pydicom is not installed (extra dicom)")


@pytest.mark.slow
def test_mutated_dicom_files(tmp_path):
    write_dicom(tmp_path / "d.dcm", made_steps(3, 60), TWELVE[:3])
    tokens = (b"SQ", b"OW", b"\xff\xff\xff\xff", b"DICM", b"\xfe\xff\x0d\xe0", b"1e999", b"uV")
    check_reader(tmp_path / "d.dcm", np.random.default_rng(10), tokens)


@pytest.mark.slow
def test_mutated_groups(tmp_path):
    steps = made_steps(3, 60)
    groups = [
        dicom_group(steps, scp_channels(TWELVE[:3]), MultiplexGroupTimeOffset=offset)
        for offset in (0, 120)
    ]
    groups.append(dicom_group(steps[:, :20], scp_channels(TWELVE[:3]), MultiplexGroupLabel="BEAT"))
    write_dicom_groups(tmp_path / "g.dcm", groups)
    tokens = (b"1e9", b"nan", b"\xff\xff\xff\xff", b"-1", b"5.6.3-9-65", b"DERIVED", b"99999999")
    check_reader(tmp_path / "g.dcm", np.random.default_rng(12), tokens)
