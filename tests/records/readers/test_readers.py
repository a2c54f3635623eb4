"""Every reader beside WFDB's and the arrays': values, leads, units, and each kind of damage."""

import base64
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import wfdb
from foreign_files import (
    EIGHT,
    TWELVE,
    made_steps,
    muse_text,
    muse_waveform,
    write_csv,
    write_dicom,
    write_hdf5,
    write_matlab4,
    write_matlab5,
    write_muse,
)

from ecg_fairseq.errors import MissingDependencyError, RecordError
from ecg_fairseq.records.preparation.raw_dataset import load_source
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.readers.fairseq_signals_mat import read_matlab5
from ecg_fairseq.records.readers.muse_xml import read_muse
from ecg_fairseq.records.source_record import SourceRecord
from ecg_fairseq.signal.leads import CANONICAL_LEADS

SIGNAL = made_steps(12) / np.float32(1000)


def refused(path, message):
    with pytest.raises(RecordError, match=message) as caught:
        read_record(path)
    assert str(Path(str(path)).parent) in str(caught.value)


# PhysioNet challenge ------------------------------------------------------------------------------


def test_challenge_record_named_with_its_suffix(tmp_path):
    write_matlab4(tmp_path / "E1.mat", made_steps(12))
    for name in ("E1", "E1.hea", "E1.mat"):
        record = read_record(tmp_path / name)
        np.testing.assert_allclose(record.signal, SIGNAL, atol=1e-7)
        assert (record.leads, record.fs_hz, record.record_id) == (TWELVE, 500.0, "E1")
    (tmp_path / "E1.hea").unlink()
    refused(tmp_path / "E1.mat", "put its WFDB header E1.hea beside it")


def test_challenge_head_must_agree_with_the_header(tmp_path):
    write_matlab4(tmp_path / "E1.mat", made_steps(12, 200))
    header = (tmp_path / "E1.hea").read_text()
    # As many bytes, so that sizes alone would not tell.
    scipy.io.savemat(tmp_path / "E1.mat", {"val": made_steps(24, 100)}, format="4")
    refused(tmp_path / "E1", "24 leads of 100 samples")
    scipy.io.savemat(tmp_path / "E1.mat", {"val": made_steps(12, 200)}, format="4")
    (tmp_path / "E1.hea").write_text(header.replace(" 500 200 ", " 500 199 "))
    refused(tmp_path / "E1", "12 leads of 199")
    data = (tmp_path / "E1.mat").read_bytes()
    (tmp_path / "E1.mat").write_bytes(data[:-2])
    (tmp_path / "E1.hea").write_text(header)
    refused(tmp_path / "E1", "4822 bytes")


def test_gain_of_the_early_ptb_xl_headers_is_corrected_with_a_warning(tmp_path):
    write_matlab4(tmp_path / "HR00002.mat", made_steps(12))
    header = (tmp_path / "HR00002.hea").read_text()
    (tmp_path / "HR00002.hea").write_text(header.replace("1000/mV", "200/mV"))
    with pytest.warns(UserWarning, match="an early release had this wrong"):
        record = read_record(tmp_path / "HR00002")
    np.testing.assert_allclose(record.signal, SIGNAL, atol=1e-7)
    # A true gain of 200 elsewhere is left alone.
    write_matlab4(tmp_path / "E2.mat", made_steps(12))
    header = (tmp_path / "E2.hea").read_text()
    (tmp_path / "E2.hea").write_text(header.replace("1000/mV", "200/mV"))
    np.testing.assert_allclose(read_record(tmp_path / "E2").signal, SIGNAL * 5, atol=1e-6)


def test_all_challenge_records_equal_wfdb(shared_dir):
    folder = shared_dir / "data/physionet-challenge-2021"
    files = sorted((folder / "training").rglob("*.mat"))
    assert len(files) == 58
    for file in files:
        wanted = wfdb.rdrecord(str(file.with_suffix("")))
        record = read_record(file)
        assert np.abs(record.signal - wanted.p_signal.T).max() <= 1e-6, file
        assert record.fs_hz == wanted.fs


@pytest.mark.parametrize("name", ["E00271", "E09657"])
def test_headers_that_wfdb_refuses_are_read(shared_dir, name):
    folder = shared_dir / "data/physionet-challenge-2021/quirks"
    raw = (folder / f"{name}.mat").read_bytes()[24:]
    wanted = np.frombuffer(raw, "<i2").reshape(-1, 12).T / 1000
    for suffix in ("", ".hea", ".mat"):
        record = read_record(folder / f"{name}{suffix}")
        np.testing.assert_allclose(record.signal, wanted, atol=1e-6)
        assert (record.record_id, record.leads) == (name, CANONICAL_LEADS)


def test_both_headers_of_hr00002_give_ptb_xls_own_millivolts(shared_dir, tmp_path):
    data = shared_dir / "data"
    original = data / "ptb-xl/records500/00000/00002_hr"
    # The challenge's file holds the same bytes behind a MATLAB head.
    head = np.array([30, 12, 5000, 0, 4], "<i4").tobytes() + b"val\0"
    samples = original.with_suffix(".dat").read_bytes()
    (tmp_path / "HR00002.mat").write_bytes(head + samples)
    wanted = read_record(original).signal
    for gain in (1000, 200):
        header = data / f"physionet-challenge-2021/quirks/HR00002_gain{gain}.hea.txt"
        (tmp_path / "HR00002.hea").write_bytes(header.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(read_record(tmp_path / "HR00002").signal, wanted)


# fairseq-signals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_matlab5_arrays_equal_scipys(tmp_path, is_compressed, dtype):
    feats = (SIGNAL * 1000).astype(dtype)
    more = {"patient_id": "P1", "label": np.ones((1, 26), bool), "cell": np.array([1, "a"], object)}
    write_matlab5(tmp_path / "a.mat", feats, is_compressed, **more)
    found, wanted = read_matlab5(tmp_path / "a.mat"), scipy.io.loadmat(tmp_path / "a.mat")
    for name in ("feats", "curr_sample_rate", "idx", "label"):
        np.testing.assert_array_equal(found[name], wanted[name])
    record = read_record(tmp_path / "a.mat")
    assert (record.fs_hz, record.leads, record.patient_id) == (400.0, TWELVE, "P1")
    np.testing.assert_array_equal(record.signal, feats.astype(np.float32))


def test_standardised_files_come_back_in_millivolts(tmp_path):
    mean, std = SIGNAL.mean(axis=1, keepdims=True), SIGNAL.std(axis=1, keepdims=True)
    write_matlab5(tmp_path / "a.mat", (SIGNAL - mean) / std, mean=mean, std=std)
    np.testing.assert_allclose(read_record(tmp_path / "a.mat").signal, SIGNAL, atol=1e-6)
    write_matlab5(tmp_path / "a.mat", SIGNAL, mean=mean)
    refused(tmp_path / "a.mat", "mean and std")


def test_matlab5_with_other_leads_needs_their_names(tmp_path):
    write_matlab5(tmp_path / "a.mat", SIGNAL[:2])
    refused(tmp_path / "a.mat", r"2 leads; name them in a\.json")
    (tmp_path / "a.json").write_text('{"leads": ["v1", "AVR"]}')
    assert read_record(tmp_path / "a.mat").leads == ("V1", "aVR")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curr_sample_rate": 0}, "sampling rate"),
        ({"curr_sample_rate": np.nan}, "expected one number"),
        ({"curr_sample_rate": [1, 2]}, "expected one number"),
        ({"curr_sample_size": 199}, "curr_sample_size says 199"),
        ({"feats": "text"}, "expected feats"),
        ({"feats": np.zeros((12, 0))}, "0 samples"),
        ({"feats": np.zeros((12, 9, 2))}, "expected feats"),
        ({"feats": np.full((12, 9), 1j)}, "expected feats"),
    ],
)
def test_damaged_matlab5_files(tmp_path, change, message):
    write_matlab5(tmp_path / "a.mat", SIGNAL, **change)
    refused(tmp_path / "a.mat", message)


def test_truncated_matlab5_and_bombs(tmp_path):
    path = tmp_path / "a.mat"
    for is_compressed in (False, True):
        write_matlab5(path, SIGNAL, is_compressed)
        sound = path.read_bytes()
        for size in (100, 140, len(sound) // 2, len(sound) - 3):
            path.write_bytes(sound[:size])
            refused(path, "not a whole MATLAB 5 file|expected feats|unknown format")
    scipy.io.savemat(path, {"feats": np.zeros((12, 1_000_000))}, do_compression=True)
    refused(path, "unpacks to far more")
    path.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(500))
    refused(path, "save it with -v7")


def test_code15_examples(shared_dir):
    folder = shared_dir / "data/code-15"
    files = sorted(folder.glob("*/*.mat"))
    assert len(files) == 12
    for file in files:
        arrays, wanted = read_matlab5(file), scipy.io.loadmat(file)
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], wanted[name])
            assert arrays[name].dtype == wanted[name].dtype
    original = read_record(folder / "org/code_15_1594286.mat")
    later = read_record(folder / "preprocessed/code_15_1594286.mat")
    assert (original.fs_hz, later.fs_hz) == (400.0, 500.0)
    # Resampled and brought back to mV: the same heights.
    assert abs(np.abs(later.signal).max() / np.abs(original.signal).max() - 1) < 1e-3
    segment = read_record(folder / "segmented/code_15_1594286_1.mat")
    np.testing.assert_allclose(segment.signal, later.signal[:, 2500:5000], atol=1e-6)


# CODE-15% HDF5 ------------------------------------------------------------------------------------


@pytest.fixture
def part(tmp_path):
    """Two exams, one of them filled up with zeros at both ends, and the row of zeros."""
    signals = np.zeros((3, 256, 12), np.float32)
    signals[0] = 0.5 + made_steps(12, 256, 1).T / 1000
    signals[1, 28:228] = 0.5 + SIGNAL.T
    write_hdf5(tmp_path / "exams_part0.hdf5", signals)
    return tmp_path / "exams_part0.hdf5"


def test_code15_rows(part):
    first, second = (read_record(f"{part}:{row}") for row in (0, 1))
    assert (first.record_id, second.record_id) == ("1000", "1001")
    assert (first.num_samples, second.num_samples, first.fs_hz) == (256, 200, 400.0)
    np.testing.assert_allclose(second.signal, 0.5 + SIGNAL, atol=1e-6)
    refused(f"{part}:2", "all zeros")
    refused(f"{part}:3", "row 3 was asked for")
    refused(part, "no row was asked for")
    source = SourceRecord("r", "p", str(part), array_row=1)
    assert load_source(source).record_id == "r"
    np.testing.assert_array_equal(load_source(source).signal, second.signal)


def test_code15_sidecar_states_another_unit(part):
    part.with_suffix(".json").write_text('{"unit": "uV", "fs_hz": 300}')
    record = read_record(f"{part}:1")
    assert record.fs_hz == 300.0
    np.testing.assert_allclose(record.signal, (0.5 + SIGNAL) / 1000, rtol=1e-5)
    part.with_suffix(".json").write_text('{"leads": ["I", "II"]}')
    refused(f"{part}:1", "12 leads, expected 2")


def test_hdf5_that_points_elsewhere_or_lies_about_its_size(part, tmp_path):
    import h5py

    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        file["tracings"] = h5py.ExternalLink(part.name, "/tracings")
    refused(f"{path}:0", "of its own")
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "tracings", (1, 9, 12), "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
        )
    refused(f"{path}:0", "of its own")
    with h5py.File(path, "w") as file:
        file.create_dataset("tracings", (2**22, 2**20, 12), "f4", chunks=(1, 9, 12))
    refused(f"{path}:0", "in pieces of")
    with h5py.File(path, "w") as file:
        file.create_dataset("tracings", (9, 2**20, 12), "f4", chunks=(9, 2**20, 12))
    refused(f"{path}:0", "in pieces of")
    with h5py.File(path, "w") as file:
        file["tracings"] = np.zeros((9, 12), "f4")
    refused(f"{path}:0", "3 axes")
    path.write_bytes(part.read_bytes()[:-100])
    refused(f"{path}:0", "cut off|cannot be read")
    path.write_bytes(part.read_bytes()[:50])
    refused(f"{path}:0", "not a whole HDF5 file")


# MUSE XML -----------------------------------------------------------------------------------------


def test_muse_leads_units_and_derived_leads(tmp_path):
    steps = made_steps(8)
    steps[3, 5] = -32768
    write_muse(tmp_path / "m.xml", steps)
    record = read_record(tmp_path / "m.xml")
    assert (record.leads, record.fs_hz, record.patient_id) == (CANONICAL_LEADS, 500.0, "P 7")
    millivolts = dict(zip(EIGHT, steps * 0.00488, strict=True))
    one, two = millivolts["I"], millivolts["II"]
    wanted = {
        **millivolts,
        "III": two - one,
        "aVR": -(one + two) / 2,
        "aVL": (one - (two - one)) / 2,
        "aVF": (two + (two - one)) / 2,
    }
    wanted["V2"][5] = np.nan
    for lead, row in zip(record.leads, record.signal, strict=True):
        np.testing.assert_allclose(row, wanted[lead], rtol=1e-6, atol=1e-7, err_msg=lead)
    assert np.isnan(record.signal).sum() == 1
    median = read_muse(tmp_path / "m.xml", waveform="median")
    np.testing.assert_array_equal(median.signal, record.signal[:, :60])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_muse_encodings_and_units(tmp_path, encoding):
    text = muse_text(made_steps(8), per_bit="0.001", units="MILLIVOLTS")
    declared = {"latin-1": "ISO-8859-1", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    path = tmp_path / "m.xml"
    path.write_bytes(text.replace("ISO-8859-1", declared).encode(encoding))
    np.testing.assert_allclose(read_record(path).signal[0], made_steps(8)[0] / 1000, atol=1e-7)


BILLION = '<!DOCTYPE RestingECG [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE RestingECG [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
PARAMETER = '<!DOCTYPE RestingECG [<!ENTITY % a SYSTEM "file:///etc/hostname"> %a;]>'


@pytest.mark.parametrize("doctype", [BILLION, OUTSIDE, PARAMETER])
def test_entities_are_refused(tmp_path, doctype):
    text = muse_text(made_steps(8))
    text = text.replace('<!DOCTYPE RestingECG SYSTEM "restecg.dtd">', doctype)
    (tmp_path / "m.xml").write_text(text.replace("P 7", "&a;"), encoding="latin-1")
    refused(tmp_path / "m.xml", "declares entities")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<LeadID>II</LeadID>", "<LeadID>I</LeadID>", "more than once"),
        ("<LeadID>V6</LeadID>", "<LeadID>V66</LeadID>", "unknown lead"),
        ("<SampleBase>500", "<SampleBase>0", "sampling rate"),
        ("<SampleBase>500", "<SampleBase>nan", "expected one number"),
        ("<SampleExponent>0", "<SampleExponent>99999", "SampleExponent"),
        ("PerBit>4.88<", "PerBit>0<", "gain"),
        ("PerBit>4.88<", "PerBit>many<", "expected one number"),
        ("MICROVOLTS", "TESLA", "TESLA"),
        ("CountTotal>200<", "CountTotal>199<", "400 bytes of data for 199"),
        ("<LeadSampleSize>2", "<LeadSampleSize>4", "samples of '4' bytes"),
        ("<WaveformType>Rhythm", "<WaveformType>Other", "0 waveforms of type Rhythm"),
        ("<WaveformType>Median", "<WaveformType>Rhythm", "2 waveforms of type Rhythm"),
        ("</RestingECG>", "", "not well-formed"),
        ("RestingECG>", "AnnotatedECG>", "unknown format"),
        ("<MuseInfo>", "<a>" * 99, "nested more than"),
        ("<MuseInfo>", "<Waveform></Waveform>" * 99 + "<MuseInfo>", "more than 16 waveforms"),
    ],
)
def test_damaged_muse_files(tmp_path, old, new, message):
    text = muse_text(made_steps(8))
    assert old in text
    (tmp_path / "m.xml").write_text(text.replace(old, new), encoding="latin-1")
    refused(tmp_path / "m.xml", message)


def test_muse_leads_of_different_lengths_and_broken_base64(tmp_path):
    steps = made_steps(8)
    short = base64.encodebytes(steps[0, :100].astype("<i2").tobytes()).decode()
    whole = base64.encodebytes(steps[0].astype("<i2").tobytes()).decode()
    text = muse_text(steps).replace("CountTotal>200<", "CountTotal><")
    rhythm = muse_waveform(steps, "Rhythm").replace("CountTotal>200<", "CountTotal><")
    assert rhythm in text
    path = tmp_path / "m.xml"
    path.write_text(text.replace(rhythm, rhythm.replace(whole, short)), encoding="latin-1")
    refused(path, r"leads of \[100, 200\] samples")
    path.write_text(text.replace(rhythm, rhythm.replace(whole, whole + "*")), encoding="latin-1")
    refused(path, "damaged base64")


# CSV ----------------------------------------------------------------------------------------------


def test_csv_forms_agree(tmp_path):
    leads = ("II", "V1", "aVR")
    write_csv(tmp_path / "a.csv", SIGNAL[:3], leads, 250.0)
    write_csv(tmp_path / "b.txt", SIGNAL[:3], leads, None)
    text = (tmp_path / "b.txt").read_text()
    (tmp_path / "b.json").write_text('{"fs_hz": 250}')
    (tmp_path / "c.csv").write_text(text.partition("\n")[2].replace(",", ";"))
    (tmp_path / "c.json").write_text('{"fs_hz": 250, "leads": ["II", "V1", "AVR"]}')
    (tmp_path / "d.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    (tmp_path / "d.json").write_text('{"fs_hz": 250, "unit": "uV"}')
    for name, factor in (("a.csv", 1), ("b.txt", 1), ("c.csv", 1), ("d.csv", 0.001)):
        record = read_record(tmp_path / name)
        assert (record.leads, record.fs_hz) == (leads, 250.0)
        np.testing.assert_allclose(record.signal, SIGNAL[:3] * factor, rtol=1e-6, atol=1e-9)


def test_csv_gaps_become_nan(tmp_path):
    (tmp_path / "a.csv").write_text('"I","II"\n1,2\n,nan\n"3",inf\n')
    (tmp_path / "a.json").write_text('{"fs_hz": 100}')
    signal = read_record(tmp_path / "a.csv").signal
    np.testing.assert_array_equal(signal, [[1, np.nan, 3], [2, np.nan, np.inf]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I,II\n1,2\n3\n", "number of columns|expected one number"),
        ("I,II\n1,2\n3,x\n", "expected one number"),
        ("I,I\n1,2\n", "more than once"),
        ("I,II,V1\n1,2\n", "2 numbers a line below 3"),
        ("I,II\n", "no samples below"),
        ("1,2\n3,4\n", "no names of leads"),
        ("time,I\n0,1\n0.1,2\n0.9,3\n", "not evenly spaced"),
        ("time,I\n0,1\n", "not evenly spaced"),
        ("time,I\n0,1\n0.004,2\n0.008,3\n", "says 250 Hz"),
        ("name,age\nx,3\n", "unknown format"),
        ("", "has 0 bytes|unknown format"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_damaged_csv_files(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "a.json").write_text('{"fs_hz": 100}')
    refused(tmp_path / "a.csv", message)


def test_csv_without_a_rate_says_where_to_write_it(tmp_path):
    (tmp_path / "a.csv").write_text("I,II\n1,2\n")
    refused(tmp_path / "a.csv", r"no sampling rate; write .* into a\.json")


@pytest.mark.parametrize("sidecar", ["[]", "{", '{"fs_hz": "5"}', '{"fs_hz": -1}', '{"leads": 3}'])
def test_damaged_sidecars(tmp_path, sidecar):
    (tmp_path / "a.csv").write_text("I,II\n1,2\n")
    (tmp_path / "a.json").write_text(sidecar)
    refused(tmp_path / "a.csv", r"a\.json")


# DICOM --------------------------------------------------------------------------------------------


def test_dicom_leads_units_and_padding(tmp_path):
    pytest.importorskip("pydicom", reason="pydicom is not installed (extra dicom)")
    steps = made_steps(3)
    steps[1, 4] = -32768
    write_dicom(tmp_path / "d", steps, ("I", "II", "V1"))
    record = read_record(tmp_path / "d")
    assert (record.leads, record.fs_hz, record.patient_id) == (("I", "II", "V1"), 500.0, "P 8")
    wanted = steps * 0.0025 + 0.010
    wanted[1, 4] = np.nan
    np.testing.assert_allclose(record.signal, wanted, rtol=1e-6)
    data = (tmp_path / "d").read_bytes()
    (tmp_path / "d").write_bytes(data[:-50])
    refused(tmp_path / "d", "bytes|cannot be read")
    write_dicom(tmp_path / "d", steps, ("I", "II", "II"))
    refused(tmp_path / "d", "more than once")


def test_dicom_equals_pydicoms_own_values(tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed (extra dicom)")
    write_dicom(tmp_path / "d.dcm", made_steps(3), ("I", "II", "V1"))
    wanted = pydicom.dcmread(tmp_path / "d.dcm").waveform_array(0).T / 1000
    np.testing.assert_allclose(read_record(tmp_path / "d.dcm").signal, wanted, atol=1e-6)


def test_dicom_without_pydicom_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "d.dcm").write_bytes(bytes(128) + b"DICM" + bytes(100))
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(MissingDependencyError, match=r"pip install .*\[dicom\]"):
        read_record(tmp_path / "d.dcm")


# Choice of the reader -----------------------------------------------------------------------------


def test_content_decides_and_not_the_suffix(tmp_path):
    write_muse(tmp_path / "a.csv", made_steps(8))
    write_matlab5(tmp_path / "b.dat", SIGNAL)
    write_csv(tmp_path / "c.xml", SIGNAL, TWELVE, 500.0)
    (tmp_path / "d.mat").write_bytes((tmp_path / "c.xml").read_bytes())
    for name in ("a.csv", "b.dat", "c.xml", "d.mat"):
        assert read_record(tmp_path / name).leads == CANONICAL_LEADS
    (tmp_path / "e").write_bytes(bytes(range(256)))
    refused(tmp_path / "e", "unknown format")
