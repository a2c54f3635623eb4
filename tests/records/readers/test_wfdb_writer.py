"""The fast WFDB writer: what it writes is what the wfdb package reads, and damage is noticed."""

from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecg_fairseq.errors import EcgError, RecordError
from ecg_fairseq.records.readers.wfdb_writer import header_text, is_complete, write_wfdb_record


@pytest.fixture
def digital() -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(-32767, 32768, (3, 700)).astype(np.int16)


def test_wfdb_reads_what_is_written(tmp_path: Path, digital: np.ndarray) -> None:
    write_wfdb_record(tmp_path / "one_hr", digital, 500, ("I", "II", "AVR"), 200.0)
    record = wfdb.rdrecord(str(tmp_path / "one_hr"), physical=False)
    np.testing.assert_array_equal(record.d_signal.T, digital)
    assert record.fs == 500
    assert record.sig_name == ["I", "II", "AVR"]
    assert record.fmt == ["16"] * 3
    assert record.adc_gain == [200.0] * 3
    assert record.baseline == [0] * 3
    assert record.init_value == digital[:, 0].tolist()
    assert record.checksum == record.calc_checksum()
    physical = wfdb.rdrecord(str(tmp_path / "one_hr")).p_signal
    np.testing.assert_allclose(physical.T, digital / 200.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one_hr.dat", "one_hr.hea"]


def test_header_is_ptb_xls_to_the_byte(shared_dir: Path) -> None:
    for name, fs_hz in (("records500/00000/00002_hr", 500), ("records100/00000/00002_lr", 100)):
        path = shared_dir / "data" / "ptb-xl" / name
        record = wfdb.rdrecord(str(path), physical=False)
        leads = record.sig_name
        text = header_text(path.name, record.d_signal.T.astype(np.int16), fs_hz, leads, 1000.0)
        assert text == path.with_name(path.name + ".hea").read_text()
        assert is_complete(path)


def test_damage_is_noticed(tmp_path: Path, digital: np.ndarray) -> None:
    path = tmp_path / "one"
    assert not is_complete(path)
    write_wfdb_record(path, digital, 500, ("I", "II", "III"))
    assert is_complete(path)
    data = (tmp_path / "one.dat").read_bytes()
    (tmp_path / "one.dat").write_bytes(data[:-2])
    assert not is_complete(path)
    (tmp_path / "one.dat").write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    assert not is_complete(path)
    (tmp_path / "one.dat").write_bytes(data)
    assert is_complete(path)
    (tmp_path / "one.hea").write_text("")
    assert not is_complete(path)


def test_wrong_input_is_refused(tmp_path: Path, digital: np.ndarray) -> None:
    with pytest.raises(RecordError, match="one name for each row"):
        write_wfdb_record(tmp_path / "x", digital, 500, ("I",))
    with pytest.raises(RecordError, match="float64"):
        write_wfdb_record(tmp_path / "x", digital.astype(float), 500, ("I", "II", "III"))
    with pytest.raises(RecordError, match="no samples"):
        write_wfdb_record(tmp_path / "x", digital[:, :0], 500, ("I", "II", "III"))
    with pytest.raises(EcgError, match="cannot write"):
        write_wfdb_record(tmp_path / "missing" / "x", digital, 500, ("I", "II", "III"))
    assert not list(tmp_path.iterdir())
