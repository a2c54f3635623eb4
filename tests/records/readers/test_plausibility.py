"""What is taken for an ECG in millivolts, what is refused and why, and what is taken off."""

import numpy as np
import pytest
from foreign_files import TWELVE, made_beats

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.plausibility import (
    ACCEPTED,
    FILLED,
    FLAT,
    HIGH,
    LOW,
    OFFSET,
    SATURATED,
    judge,
    plausible,
    still_segments,
)
from ecg_fairseq.records.record import EcgRecord

BEATS = made_beats()


def record_of(signal, fs_hz=500.0):
    return EcgRecord(signal.astype(np.float32), TWELVE[: len(signal)], fs_hz, "r", "p")


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(1000, "--unit uV"), (200, "200 to a mV"), (1e-3, "--unit V"), (1e6, "--unit nV")],
)
def test_another_unit_is_refused_by_name(factor, unit):
    with pytest.raises(RecordError, match=unit):
        plausible(record_of(BEATS * factor))
    used, found = plausible(record_of(BEATS * factor), accept=True)
    assert list(found.warnings)[-1] == ACCEPTED
    np.testing.assert_array_equal(used.signal, record_of(BEATS * factor).signal)


@pytest.mark.parametrize(
    ("factor", "warning"), [(0.05, LOW), (0.3, ""), (1.0, ""), (10.0, ""), (25.0, HIGH)]
)
def test_amplitudes_between_are_warned_of_or_taken(factor, warning):
    found = judge(record_of(BEATS * factor))
    assert not found.refusal
    assert set(found.warnings) == ({warning} if warning else set())
    assert found.amplitude_mv == pytest.approx(1.275 * factor, rel=0.05)


@pytest.mark.parametrize("wander_mv", [0.0, 3.0])
@pytest.mark.parametrize("num_leads", [1, 3, 12])
def test_amplitude_withstands_artefacts(num_leads, wander_mv):
    signal = BEATS[:num_leads] + wander_mv * np.sin(np.arange(5000) / 5000 * 2 * np.pi)
    signal[:, 1000:1010] = 300.0
    found = judge(record_of(signal))
    assert not found.refusal
    assert 0.9 < found.amplitude_mv < 5


def test_flat_leads_saturation_offset_and_missing_samples():
    with pytest.raises(RecordError, match="all leads are flat"):
        plausible(record_of(np.full((12, 5000), 0.25)))
    flat, clipped = BEATS.copy(), BEATS * 4
    flat[[0, 7]] = 0.0
    assert judge(record_of(flat)).warnings == {FLAT: "lead I, V2 is flat or missing"}
    assert list(judge(record_of(np.minimum(clipped, 3.0))).warnings) == [SATURATED]
    assert list(judge(record_of(BEATS + 32.768)).warnings) == [OFFSET]
    gaps = BEATS.copy()
    gaps[:, 1000:2200] = np.nan
    with pytest.raises(RecordError, match="24 % of the samples are missing or NaN"):
        plausible(record_of(gaps))
    gaps[:, 1900:2200] = 0.1
    gaps[2, 5] = np.inf
    assert not judge(record_of(gaps)).refusal
    off = BEATS.copy()
    off[3] = np.nan
    assert judge(record_of(off)).warnings == {FLAT: "lead aVR is flat or missing"}


@pytest.mark.parametrize("filling", [0.0, 0.3, np.nan])
def test_filling_at_the_ends_is_taken_off(filling):
    signal = np.full((12, 5000), filling, np.float32)
    signal[:, 700:4300] = BEATS[:, 700:4300]
    used, found = plausible(record_of(signal))
    np.testing.assert_array_equal(used.signal, BEATS[:, 700:4300])
    assert found.warnings == {FILLED: "2.8 s without a signal at its ends were taken off"}


def test_what_is_no_filling_stays():
    short, one = BEATS.copy(), BEATS.copy()
    short[:, :249] = 0.0
    one[0, :2500] = 0.0
    for signal in (BEATS, short, one):
        record = record_of(signal)
        assert plausible(record)[0] is record
    step = np.zeros((12, 1500), np.float32)
    step[:, 200:600] = 1.2
    assert plausible(record_of(step))[0].num_samples == 1500
    skewed = BEATS.copy()
    skewed[6, :10] = np.nan
    np.testing.assert_array_equal(plausible(record_of(skewed))[0].signal, skewed[:, 10:])
    skewed[6, :1000] = np.nan  # too much of the others would go
    assert plausible(record_of(skewed))[0].num_samples == 5000


def test_still_segments():
    signal = made_beats(20.0)
    signal[:, 4900:7600] = 0.1
    record = record_of(signal)
    assert judge(record).has_still_second
    assert still_segments(record, 4, 5.0).tolist() == [False, False, True, False]
    assert not judge(record_of(BEATS)).has_still_second
