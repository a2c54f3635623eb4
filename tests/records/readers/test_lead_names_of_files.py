"""Inverted leads, eight leads and odd columns in every format that names leads."""

import json

import numpy as np
import pytest
from foreign_files import (
    EIGHT,
    TWELVE,
    cardiosoft_text,
    made_steps,
    muse_text,
    write_hdf5,
    write_matlab4,
    write_matlab5,
)

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.preparation.raw_dataset import load_source
from ecg_fairseq.records.readers.any_format import parse_leads, read_record
from ecg_fairseq.records.readers.folder_search import find_records
from ecg_fairseq.records.source_record import SourceRecord

STEPS = made_steps(12)
SIGNAL = STEPS / np.float32(1000)
CABRERA = tuple("-aVR" if lead == "aVR" else lead for lead in TWELVE)
EIGHT_ROWS = [TWELVE.index(lead) for lead in EIGHT]


def write_npy(folder, signal, leads):
    np.save(folder / "r.npy", signal)
    (folder / "r.json").write_text(json.dumps({"leads": leads, "fs_hz": 500}))
    return folder / "r.npy"


def write_csv(folder, signal, leads):
    lines = [",".join(leads), *(",".join(map(str, row)) for row in signal.T)]
    (folder / "r.csv").write_text("\n".join(lines) + "\n")
    (folder / "r.json").write_text('{"fs_hz": 500}')
    return folder / "r.csv"


def write_mat5(folder, signal, leads):
    write_matlab5(folder / "r.mat", signal)
    (folder / "r.json").write_text(json.dumps({"leads": leads}))
    return folder / "r.mat"


def write_code15(folder, signal, leads):
    write_hdf5(folder / "r.hdf5", signal.T[None])
    (folder / "r.json").write_text(json.dumps({"leads": leads}))
    return f"{folder / 'r.hdf5'}:0"


def write_challenge(folder, signal, leads):
    write_matlab4(folder / "r.mat", np.round(signal * 1000).astype(np.int16))
    text = (folder / "r.hea").read_text()
    for old, new in zip(TWELVE, leads, strict=True):
        text = text.replace(f" {old}\n", f" {new}\n")
    (folder / "r.hea").write_text(text)
    return folder / "r.mat"


def write_muse(folder, signal, leads):
    text = muse_text(np.round(signal * 1000).astype(np.int16)[EIGHT_ROWS], per_bit="1")
    for old, new in zip(EIGHT, [leads[row] for row in EIGHT_ROWS], strict=True):
        text = text.replace(f"<LeadID>{old}<", f"<LeadID>{new}<")
    (folder / "r.xml").write_text(text, encoding="latin-1")
    return folder / "r.xml"


def write_cardiosoft(folder, signal, leads):
    text = cardiosoft_text(np.round(signal * 200).astype(np.int16), leads)
    (folder / "r.xml").write_text(text, encoding="latin-1")
    return folder / "r.xml"


@pytest.mark.parametrize("write", [write_npy, write_csv, write_challenge, write_cardiosoft])
def test_the_inverted_lead_is_turned_back_and_said(tmp_path, write):
    signal = SIGNAL.copy()
    signal[3] *= -1
    record = read_record(write(tmp_path, signal, CABRERA))
    assert record.leads == TWELVE
    np.testing.assert_allclose(record.signal, SIGNAL, atol=0.003)
    assert record.notes == ("stored inverted and turned back: aVR",)


def test_the_inverted_lead_of_muse(tmp_path):
    leads = tuple("-V2" if lead == "V2" else lead for lead in TWELVE)
    signal = SIGNAL.copy()
    signal[7] *= -1
    record = read_record(write_muse(tmp_path, signal, leads))
    np.testing.assert_allclose(record.signal[EIGHT_ROWS], SIGNAL[EIGHT_ROWS], atol=1e-6)
    assert record.derived == ("III", "aVR", "aVL", "aVF")


@pytest.mark.parametrize("write", [write_npy, write_csv, write_mat5, write_code15])
def test_eight_leads_are_completed_and_marked(tmp_path, write):
    record = read_record(write(tmp_path, SIGNAL[EIGHT_ROWS], EIGHT))
    assert (record.leads, record.derived) == (TWELVE, ("III", "aVR", "aVL", "aVF"))
    np.testing.assert_allclose(record.signal[EIGHT_ROWS], SIGNAL[EIGHT_ROWS], atol=1e-6)
    np.testing.assert_allclose(record.signal[3], -(SIGNAL[0] + SIGNAL[1]) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "rows"), [(CABRERA, range(12)), (EIGHT, EIGHT_ROWS), (("Lead I", "D-II"), (0, 1))]
)
def test_leads_of_an_array(tmp_path, names, rows):
    values = SIGNAL[list(rows)].copy()
    values[[row for row, name in enumerate(names) if name.startswith("-")]] *= -1
    np.save(tmp_path / "a.npy", values[None])
    leads = parse_leads(",".join(names))
    source = SourceRecord("r", "p", str(tmp_path / "a.npy"), array_row=0, leads=leads, fs_hz=500)
    record = load_source(source)
    for row in rows:
        index = record.leads.index(TWELVE[row])
        np.testing.assert_allclose(record.signal[index], SIGNAL[row], atol=1e-6)
    with pytest.raises(RecordError, match="aVR occurs more than once"):
        parse_leads("aVR,-aVR")


# CSV: clocks, units, columns ----------------------------------------------------------------------


def csv_of(folder, clock, header, sidecar=None, leads=("I", "II")):
    lines = [",".join([header, *leads])]
    lines += [f"{at:.10g},{one},{two}" for at, one, two in zip(clock, *SIGNAL[:2], strict=True)]
    (folder / "c.csv").write_text("\n".join(lines) + "\n")
    if sidecar:
        (folder / "c.json").write_text(json.dumps(sidecar))
    return folder / "c.csv"


@pytest.mark.parametrize(
    ("header", "step", "fs_hz"),
    [
        ("time", 0.002, 500.0),
        ("time_s", 0.002, 500.0),
        ("Time (s)", 0.004, 250.0),
        ("time_ms", 2, 500.0),
        ("time [ms]", 1, 1000.0),
        ("Time(us)", 2000, 500.0),
        ("milliseconds", 4, 250.0),
        ("time", 2, 500.0),
        ("t", 2000, 500.0),
        ("Timestamp", 10, 100.0),
    ],
)
def test_the_unit_of_the_clock_by_name_and_by_plausibility(tmp_path, header, step, fs_hz):
    record = read_record(csv_of(tmp_path, np.arange(200) * step, header))
    assert (record.fs_hz, record.leads) == (fs_hz, ("I", "II"))
    is_guess = header.lower() in ("time", "t", "timestamp") and step >= 1
    assert bool(record.notes) == is_guess


@pytest.mark.parametrize(
    ("header", "step", "message"),
    [
        ("time_s", 2, "0.5 Hz, at which no ECG"),
        ("seconds", 1, "1 Hz, at which no ECG"),
        ("time", 1, "names no unit"),
        ("time", 30, "names no unit"),
        ("sample", 1, "no sampling rate"),
        ("index", 2, "expected running numbers"),
    ],
)
def test_clocks_that_tell_no_rate_of_ecgs(tmp_path, header, step, message):
    with pytest.raises(RecordError, match=message):
        read_record(csv_of(tmp_path, np.arange(200) * step, header))


def test_the_sidecar_settles_what_a_clock_means(tmp_path):
    for header in ("sample", "", "time"):
        path = csv_of(tmp_path, np.arange(200), header, {"fs_hz": 500})
        assert read_record(path).fs_hz == 500.0
    assert read_record(csv_of(tmp_path, np.arange(200), "time", {"fs_hz": 1000})).fs_hz == 1000.0
    with pytest.raises(RecordError, match=r"says 250 Hz, c\.json 500 Hz"):
        read_record(csv_of(tmp_path, np.arange(200) * 4, "time_ms", {"fs_hz": 500}))
    with pytest.raises(RecordError, match="10 or more"):
        read_record(csv_of(tmp_path, np.arange(200), "sample", {"fs_hz": 0.5}))


def test_columns_with_units_and_columns_that_are_no_lead(tmp_path):
    path = csv_of(tmp_path, np.arange(200) * 0.002, "time", leads=("I (uV)", "Lead II [uV]"))
    np.testing.assert_allclose(read_record(path).signal, SIGNAL[:2] / 1000, atol=1e-9)
    path = csv_of(tmp_path, np.arange(200) * 0.002, "time", leads=("I (uV)", "II"))
    with pytest.raises(RecordError, match="some columns name a unit"):
        read_record(path)
    lines = ["I,II,rhythm", *("0.1,0.2,1" for _ in range(200))]
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordError, match=r"d\.csv: column 'rhythm' is no lead"):
        read_record(tmp_path / "d.csv")
    assert "d" in find_records(tmp_path).records
    (tmp_path / "table.csv").write_text("record_id,age,I\na,4,1\n")
    assert "table" not in find_records(tmp_path).records


# MUSE ---------------------------------------------------------------------------------------------


def test_leads_of_muse_that_were_off_are_missing(tmp_path):
    text = muse_text(made_steps(8))
    off = text.replace("<LeadID>V2</LeadID>", "<LeadID>V2</LeadID><LeadOff>TRUE</LeadOff>")
    off = off.replace("<LeadID>V3</LeadID>", "<LeadID>V3</LeadID><LeadOff>FALSE</LeadOff>")
    off = off.replace("<LeadID>I</LeadID>", "<LeadID>I</LeadID><LeadOff>true</LeadOff>")
    (tmp_path / "m.xml").write_text(off, encoding="latin-1")
    record = read_record(tmp_path / "m.xml")
    missing = np.isnan(record.signal).all(axis=1)
    assert [lead for lead, gone in zip(record.leads, missing, strict=True) if gone] == [
        "I",
        *("III", "aVR", "aVL", "aVF"),
        "V2",
    ]
    assert not np.isnan(record.signal[~missing]).any()
    assert "electrode was off, taken as missing: I, V2" in record.notes[0]


@pytest.mark.parametrize(
    ("declared", "true", "note"),
    [
        ("windows-1252", "windows-1252", ""),
        ("koi8-r", "koi8-r", ""),
        ("Shift_JIS", "shift_jis", ""),
        ("utf-8", "latin-1", "text is not in utf-8, read as iso-8859-1"),
        ("x-unknown", "utf-8", "text is not in x-unknown, read as utf-8"),
    ],
)
def test_encodings_as_declared_or_guessed_with_a_note(tmp_path, declared, true, note):
    name = {"koi8-r": "Ж", "shift_jis": "心"}.get(true, "ü")
    text = muse_text(made_steps(8)).replace("P 7", f"P {name}").replace("\xfc", name)
    path = tmp_path / "m.xml"
    path.write_bytes(text.replace("ISO-8859-1", declared).encode(true))
    record = read_record(path)
    assert record.patient_id == f"P {name}"
    assert (record.notes[0] if note else "") == note
    assert len(record.notes) == 1 + bool(note)
