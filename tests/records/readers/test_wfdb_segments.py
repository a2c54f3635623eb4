"""WFDB records of several segments, of several samples a frame, and with skews."""

import resource

import numpy as np
import pytest
from foreign_files import EIGHT, TWELVE, made_steps

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.wfdb_record import read_wfdb

STEPS = made_steps(12, 1000)


def write(folder, name, steps, leads, gain="1000(0)/mV", fs_hz=500, per_frame=1, form=""):
    """Write a record of format 16; steps (L, T), each lead with ``per_frame`` samples a frame."""
    frames = steps.reshape(len(steps), -1, per_frame).transpose(1, 0, 2)
    frames.astype("<i2").tofile(folder / f"{name}.dat")
    form = form or (f"16x{per_frame}" if per_frame > 1 else "16")
    lines = [f"{name} {len(steps)} {fs_hz} {frames.shape[0]}"]
    lines += [f"{name}.dat {form} {gain} 16 0 0 0 0 {lead}" for lead in leads]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("fs_hz", "per_frame"), [(125, 4), (1, 500), (0.5, 1000), (250, 2)])
def test_samples_of_a_frame_are_never_averaged(tmp_path, fs_hz, per_frame):
    write(tmp_path, "r", STEPS, TWELVE, fs_hz=fs_hz, per_frame=per_frame)
    record = read_wfdb(tmp_path / "r")
    assert (record.fs_hz, record.num_samples) == (500.0, 1000)
    np.testing.assert_allclose(record.signal, STEPS / 1000, atol=1e-6)


def test_leads_of_different_rates_are_refused(tmp_path):
    write(tmp_path, "r", STEPS, TWELVE, fs_hz=125, per_frame=4)
    header = (tmp_path / "r.hea").read_text()
    (tmp_path / "r.hea").write_text(header.replace("16x4", "16x2", 1))
    with pytest.raises(RecordError, match="different rates"):
        read_wfdb(tmp_path / "r")


@pytest.mark.parametrize("fs_hz", [0.5, 1, 9.9])
def test_rates_of_no_ecg_are_refused(tmp_path, fs_hz):
    write(tmp_path, "r", STEPS, TWELVE, fs_hz=fs_hz)
    with pytest.raises(RecordError, match="sampling rate"):
        read_wfdb(tmp_path / "r")


def test_segments_are_joined_by_lead_unit_and_gain(tmp_path):
    first, second = STEPS[:3, :400], STEPS[:3, 400:]
    write(tmp_path, "a", first, ("I", "II", "V1"))
    write(tmp_path, "b", second[[2, 0]] * 2, ("v1", "-I"), gain="2(0)/uV")
    (tmp_path / "m.hea").write_text("m/4 3 500 1100\na 400\n~ 50\nb 600\n~ 50\n")
    record = read_wfdb(tmp_path / "m")
    wanted = np.full((3, 1100), np.nan)
    wanted[:, :400] = first / 1000
    wanted[0, 450:1050], wanted[2, 450:1050] = -second[0] / 1000, second[2] / 1000
    np.testing.assert_allclose(record.signal, wanted, atol=1e-6)
    assert (record.leads, record.fs_hz, record.record_id) == (("I", "II", "V1"), 500.0, "m")
    assert record.notes == ("stored inverted and turned back: I",)


def test_variable_layout_frames_and_derived_leads(tmp_path):
    rows = [TWELVE.index(lead) for lead in EIGHT]
    write(tmp_path, "a", STEPS[rows], EIGHT, fs_hz=125, per_frame=4)
    write(tmp_path, "b", STEPS, TWELVE, fs_hz=125, per_frame=4)
    layout = [f"l {len(EIGHT)} 125 0", *(f"~ 0 1000(0)/mV 16 0 0 0 0 {lead}" for lead in EIGHT)]
    (tmp_path / "l.hea").write_text("\n".join(layout) + "\n")
    (tmp_path / "m.hea").write_text("m/3 8 125 500\nl 0\na 250\nb 250\n")
    record = read_wfdb(tmp_path / "m")
    assert (record.leads, record.derived) == (TWELVE, ("III", "aVR", "aVL", "aVF"))
    np.testing.assert_allclose(record.signal[:, 1000:], STEPS / 1000, atol=1e-6)
    np.testing.assert_allclose(record.signal[rows, :1000], STEPS[rows] / 1000, atol=1e-6)
    assert record.fs_hz == 500.0


@pytest.mark.parametrize(
    ("master", "message"),
    [
        ("m/2 3 500 1000\na 400\nslow 600\n", "segments of 250, 500 Hz"),
        ("m/2 3 250 1000\na 400\nb 600\n", "250 Hz announced, its segments have 500 Hz"),
        ("m/2 3 500 1001\na 400\nb 600\n", "1001 samples announced, its segments have 1000"),
        ("m/2 3 500 1001\na 401\nb 600\n", "segment a has another number of samples"),
        ("m/3 3 500 1000\na 400\nb 600\n", "3 segments announced, 2 described"),
        ("m/2 3 500 1000\na 400\n../b 600\n", "segment line"),
        ("m/2 3 500 1000\na 400\nnone 600\n", "not there"),
        ("m/2 3 500 1000\na 400\nm 600\n", "has segments itself"),
        ("m/2 3 500\n~ 400\n~ 600\n", "all of its segments are gaps"),
        ("m/2 3 500\na 400\n~ 99999999999\n", "at most"),
    ],
)
def test_segments_that_contradict_their_master(tmp_path, master, message):
    write(tmp_path, "a", STEPS[:3, :400], ("I", "II", "V1"))
    write(tmp_path, "b", STEPS[:3, 400:], ("I", "II", "V1"))
    write(tmp_path, "slow", STEPS[:3, 400:], ("I", "II", "V1"), fs_hz=250)
    (tmp_path / "m.hea").write_text(master)
    with pytest.raises(RecordError, match=message):
        read_wfdb(tmp_path / "m")


@pytest.mark.parametrize("skew", [1000, 13_000_000, 10**15])
def test_skew_is_bounded_by_the_record(tmp_path, skew):
    write(tmp_path, "r", STEPS, TWELVE, form=f"16:{skew}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RecordError, match="skew"):
        read_wfdb(tmp_path / "r")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    write(tmp_path, "r", STEPS, TWELVE)
    header = (tmp_path / "r.hea").read_text().replace("16 1000", "16:7 1000", 1)
    (tmp_path / "r.hea").write_text(header)
    signal = read_wfdb(tmp_path / "r").signal
    np.testing.assert_allclose(signal[0, :-7], STEPS[0, 7:] / 1000, atol=1e-6)
    assert np.isnan(signal).sum() == 7
