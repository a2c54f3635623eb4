"""Our WFDB reader against the wfdb package, and every kind of damage named in the issues."""

from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.readers.wfdb_header import parse_header, read_header_text
from ecg_fairseq.records.readers.wfdb_record import read_wfdb

LEADS = ["I", "II", "V1"]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record of three leads in format 16; the path of its header."""
    write(tmp_path, "16")
    return tmp_path / "a.hea"


def write(folder: Path, kind: str, samples: int = 1000, **more) -> np.ndarray:
    limit = {"16": 32767, "212": 2047, "80": 127, "24": 2**22, "32": 2**28}[kind]
    steps = np.random.default_rng(samples).integers(-limit, limit, (samples, 3))
    options = {"adc_gain": [200.0, 1000.0, 50.5], "baseline": [0, 12, -7], "units": ["mV"] * 3}
    wfdb.wrsamp(
        "a",
        fs=360,
        sig_name=LEADS,
        d_signal=steps,
        fmt=[kind] * 3,
        write_dir=str(folder),
        **{**options, **more},
    )
    return steps


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("kind", ["16", "212", "80", "24", "32"])
@pytest.mark.parametrize("samples", [1000, 997])
def test_equals_wfdb_for_every_format(tmp_path, kind, samples):
    write(tmp_path, kind, samples)
    got = read_wfdb(tmp_path / "a")
    wanted = wfdb.rdrecord(str(tmp_path / "a"))
    np.testing.assert_allclose(got.signal, wanted.p_signal.T, rtol=3e-7, atol=1e-6)
    assert (got.leads, got.fs_hz, got.record_id) == (tuple(LEADS), 360.0, "a")


@pytest.mark.parametrize(("kind", "mark"), [("16", -32768), ("32", -(2**31)), ("212", -2048)])
def test_invalid_marks_become_nan(tmp_path, kind, mark):
    steps = write(tmp_path, kind)
    steps[5, 1] = mark
    wfdb.wrsamp(
        "a",
        fs=360,
        sig_name=LEADS,
        d_signal=steps,
        fmt=[kind] * 3,
        write_dir=str(tmp_path),
        adc_gain=[200.0] * 3,
        baseline=[0] * 3,
        units=["mV"] * 3,
    )
    signal = read_wfdb(tmp_path / "a").signal
    assert np.isnan(signal[1, 5])
    assert np.isnan(signal).sum() == 1


def test_units_are_brought_to_millivolts(tmp_path):
    write(tmp_path, "16")
    in_mv = read_wfdb(tmp_path / "a").signal
    edit(tmp_path / "a.hea", "/mV", "/uV")
    np.testing.assert_allclose(read_wfdb(tmp_path / "a").signal, in_mv / 1000, rtol=1e-6)
    edit(tmp_path / "a.hea", "/uV", "/mmHg")
    with pytest.raises(RecordError, match="mmHg"):
        read_wfdb(tmp_path / "a")


def test_checksums_on_request(record):
    data = bytearray(record.with_suffix(".dat").read_bytes())
    read_wfdb(record, has_checksums=True)
    data[11] ^= 1
    record.with_suffix(".dat").write_bytes(data)
    read_wfdb(record)
    with pytest.raises(RecordError, match="checksum"):
        read_wfdb(record, has_checksums=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a 3 360", "a 0 360", "0 signals"),
        ("a 3 360", "a 999999999 360", "999999999 signals"),
        ("a 3 360 1000", "a 3 360 99999999999999999999999", "expected at most"),
        ("a 3 360 1000", "a 3 360 900000000", "expected at most"),
        ("a 3 360 1000", "a 3 360 1001", "copy the record again"),
        ("a 3 360 1000", "a 3 360 400", "copy the record again"),
        ("a 3 360", "a 3 0", "sampling rate"),
        ("200.0(0)/mV", "0(0)/mV", "gain of 0"),
        ("200.0(0)/mV", "0.00000001(0)/mV", "gain of"),
        ("200.0(0)/mV", "1e300(0)/mV", "gain of"),
        ("a.dat", "../a.dat", "own folder"),
        ("a.dat", "/etc/hostname", "own folder"),
        ("a.dat", "b.dat", "not there"),
        ("0 II", "0 I", "more than once"),
        ("0 II", "0 respiration", "unknown lead"),
        ("a 3 360", "\0", "zero bytes"),
        ("a 3 360", "", "cannot be read"),
        ("a 3 360", "a 4 360", "cannot be read|described|lead"),
    ],
)
def test_damaged_headers_give_one_clear_error(record, old, new, message):
    edit(record, old, new)
    with pytest.raises(RecordError, match=message) as caught:
        read_wfdb(record)
    assert str(record.parent) in str(caught.value)


def test_truncated_empty_and_missing_files(record):
    data = record.with_suffix(".dat").read_bytes()
    record.with_suffix(".dat").write_bytes(data[:-2])
    with pytest.raises(RecordError, match="5998 bytes"):
        read_wfdb(record)
    record.with_suffix(".dat").write_bytes(b"")
    with pytest.raises(RecordError, match="0 bytes"):
        read_wfdb(record)
    record.with_suffix(".dat").unlink()
    with pytest.raises(RecordError, match="not there"):
        read_wfdb(record)
    record.write_text("")
    with pytest.raises(RecordError, match="0 bytes"):
        read_wfdb(record)
    with pytest.raises(RecordError, match="not found"):
        read_wfdb(record.with_name("b"))


def test_a_link_out_of_the_folder_is_refused(record, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "a.dat"
    elsewhere.write_bytes(record.with_suffix(".dat").read_bytes())
    record.with_suffix(".dat").unlink()
    record.with_suffix(".dat").symlink_to(elsewhere)
    with pytest.raises(RecordError, match="own folder"):
        read_wfdb(record)


def test_leads_of_different_rates_are_refused(tmp_path):
    (tmp_path / "m.hea").write_text(
        "m 2 100 10\nm.dat 16x2 200/mV 16 0 0 0 0 I\nm.dat 16 200/mV 16 0 0 0 0 II\n"
    )
    (tmp_path / "m.dat").write_bytes(bytes(60))
    with pytest.raises(RecordError, match="different rates"):
        read_wfdb(tmp_path / "m")


def test_a_record_that_names_itself_as_segment_ends(tmp_path):
    (tmp_path / "loop.hea").write_text("loop/1 3 360 100\nloop 100\n")
    with pytest.raises(RecordError):
        read_wfdb(tmp_path / "loop")


def test_header_variants_are_parsed(tmp_path):
    text = (
        "# comment first\nE1.mat 1 500 5000 04-Jun-2020 15:11:55\r\n"
        "E1.mat 16x1+24 1000.0(0)/mv 16 0 7 -3 0 V4\n#Age: 56\n"
    )
    header = parse_header(text, tmp_path / "E1.hea")
    assert (header.fs_hz, header.num_samples) == (500.0, 5000)
    line = header.signals[0]
    assert (line.offset, line.gain, line.baseline, line.unit) == (24, 1000.0, 0, "mv")
    assert (line.checksum, line.name) == ("-3", "V4")
    assert parse_header("multi/3 12 500 90\n", tmp_path / "m.hea") is None


@pytest.mark.parametrize("is_everywhere", [False, True])
def test_a_folder_before_the_record_name_is_passed_over(tmp_path, is_everywhere):
    write(tmp_path, "32")
    wanted = read_wfdb(tmp_path / "a").signal
    text = (tmp_path / "a.hea").read_text()
    text = text.replace("a.dat", "made/a.dat") if is_everywhere else text
    (tmp_path / "a.hea").write_text(text.replace("a 3 360", "made/a 3 360", 1))
    np.testing.assert_array_equal(read_wfdb(tmp_path / "a").signal, wanted)
    # Of another folder than the record's own: a path out of the dataset's folder.
    (tmp_path / "a.hea").write_text((tmp_path / "a.hea").read_text().replace("a.dat", "o/a.dat"))
    with pytest.raises(RecordError, match="own folder"):
        read_wfdb(tmp_path / "a")


def test_binary_and_latin_headers(tmp_path):
    (tmp_path / "x.hea").write_bytes(b"\x00\x01\x02")
    with pytest.raises(RecordError, match="zero bytes"):
        read_header_text(tmp_path / "x.hea")
    (tmp_path / "y.hea").write_bytes(b"y 1 500 1\n# caf\xe9\n")
    assert "café" in read_header_text(tmp_path / "y.hea")


def test_read_record_goes_by_content(record, tmp_path):
    assert read_record(record.with_suffix(".dat")).num_samples == 1000
    array = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    np.save(tmp_path / "b.npy", array)
    with pytest.raises(RecordError, match="sidecar"):
        read_record(tmp_path / "b.npy")
    (tmp_path / "b.json").write_text('{"leads": ["AVR", "v2"], "fs_hz": 250}')
    got = read_record(tmp_path / "b.npy", "name", "patient")
    assert (got.leads, got.record_id, got.patient_id) == (("aVR", "V2"), "name", "patient")
    np.testing.assert_array_equal(got.signal, array)
    (tmp_path / "c.xml").write_text("<a/>")
    with pytest.raises(RecordError, match="unknown format"):
        read_record(tmp_path / "c.xml")
    with pytest.raises(RecordError, match="is a folder"):
        read_record(tmp_path)


def test_pickled_arrays_are_never_opened(tmp_path):
    np.save(tmp_path / "p.npy", np.array([{"a": 1}]), allow_pickle=True)
    (tmp_path / "p.json").write_text('{"leads": ["I"], "fs_hz": 250}')
    with pytest.raises(RecordError, match="numeric"):
        read_record(tmp_path / "p.npy")


def test_real_recordings_equal_wfdb(shared_dir):
    data = shared_dir / "data"
    headers = sorted((data / "ptb-xl").rglob("*.hea"))[::40]
    headers += sorted((data / "physionet-challenge-2021/training").rglob("*.hea"))[::6]
    headers.append(data / "ludb/data/1.hea")
    for header in headers:
        wanted = wfdb.rdrecord(str(header.with_suffix("")))
        got = read_wfdb(header, has_checksums=True)
        assert np.abs(got.signal - wanted.p_signal.T).max() <= 1e-6, header
    quirks = data / "physionet-challenge-2021/quirks"
    assert read_wfdb(quirks / "E00271.hea").signal.shape == (12, 5000)


def test_multi_segment_records_go_through_wfdb(tmp_path):
    for name, seed in (("s1", 1), ("s2", 2)):
        wfdb.wrsamp(
            name,
            fs=360,
            sig_name=LEADS,
            units=["mV"] * 3,
            d_signal=np.random.default_rng(seed).integers(-900, 900, (500, 3)),
            fmt=["16"] * 3,
            adc_gain=[200.0] * 3,
            baseline=[0] * 3,
            write_dir=str(tmp_path),
        )
    (tmp_path / "m.hea").write_text("m/2 3 360 1000\ns1 500\ns2 500\n")
    whole = read_wfdb(tmp_path / "m").signal
    parts = [read_wfdb(tmp_path / name).signal for name in ("s1", "s2")]
    np.testing.assert_allclose(whole, np.concatenate(parts, axis=1), atol=1e-6)
    (tmp_path / "m.hea").write_text("m/2 3 360 1000\ns1 500\n../s2 500\n")
    with pytest.raises(RecordError, match="segment line"):
        read_wfdb(tmp_path / "m")
