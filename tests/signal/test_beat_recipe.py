"""Beat detection and the typical beat, on made signals and on real recordings."""

from dataclasses import replace

import numpy as np
import pytest

from ecg_fairseq.errors import RecipeError, RecordError
from ecg_fairseq.signal.beats import BeatWindow, detect_beats, typical_beats
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes.beat import ECG_BYTE_BEAT
from ecg_fairseq.signal.spectral import Spectrum

# Fixed here, so that tuning the shipped recipe's rates does not touch what these tests measure.
FINE = replace(ECG_BYTE_BEAT, name="fine", beat_fs_hz=100, rhythm_fs_hz=50, rhythm_high_hz=16.0)


def wave(time, centre, width, height):
    return height * np.exp(-(((time - centre) / width) ** 2))


def ecg(beats_s, fs_hz=500.0, seconds=10.0, premature_s=(), height=1.0, noise=0.01, seed=0):
    """Return (12, T): P, R, T waves at ``beats_s``; broad, inverted beats at ``premature_s``."""
    time = np.arange(round(seconds * fs_hz)) / fs_hz
    lead = np.zeros(len(time))
    for beat in beats_s:
        lead += wave(time, beat - 0.16, 0.025, 0.12 * height) + wave(time, beat, 0.012, height)
        lead += wave(time, beat + 0.26, 0.05, 0.25 * height)
    for beat in premature_s:
        lead -= wave(time, beat, 0.05, 1.6 * height) - wave(time, beat + 0.3, 0.07, 0.5 * height)
    scale = np.linspace(0.4, 1.3, 12)[:, None]
    generator = np.random.default_rng(seed)
    return scale * lead + generator.normal(0, noise, (12, len(time)))


def found_beats(signal, fs_hz=500.0):
    steps = {name: array for name, _, array in ECG_BYTE_BEAT.steps(signal, CANONICAL_LEADS, fs_hz)}
    return steps["beats"] / ECG_BYTE_BEAT.work_fs_hz


def irregular(mean_s, seed):
    gaps = np.random.default_rng(seed).uniform(0.7 * mean_s, 1.3 * mean_s, 60)
    return [beat for beat in np.cumsum(gaps) if beat < 9.6]


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 257.0, 500.0, 1000.0])
@pytest.mark.parametrize(
    "beats",
    [np.arange(0.5, 9.7, 0.8), np.arange(0.5, 9.7, 0.4), np.arange(0.6, 9.7, 1.7)],
    ids=["75/min", "150/min", "35/min"],
)
def test_regular_beats_are_found_where_they_are(beats, fs_hz):
    found = found_beats(ecg(beats, fs_hz), fs_hz)
    assert len(found) == len(beats)
    np.testing.assert_allclose(found, beats, atol=0.025)


@pytest.mark.parametrize("height", [0.15, 1.0, 4.0])
def test_irregular_and_small_beats_are_found(height):
    beats = irregular(0.7, seed=4)
    found = found_beats(ecg(beats, height=height, noise=0.015))
    assert len(found) == len(beats)
    np.testing.assert_allclose(found, beats, atol=0.03)


def test_a_noise_only_lead_does_not_disturb():
    beats = np.arange(0.5, 9.7, 0.9)
    signal = ecg(beats)
    signal[7] = np.random.default_rng(1).normal(0, 1.0, signal.shape[1])
    signal[8] = 0.0
    assert len(found_beats(signal)) == len(beats)


def test_premature_beats_are_counted_but_not_in_the_typical_beat():
    regular = [0.5, 1.3, 2.1, 3.7, 4.5, 5.3, 6.9, 7.7, 8.5, 9.3]
    clean = ECG_BYTE_BEAT.apply(ecg(regular), CANONICAL_LEADS, 500.0)[0]
    signal = ecg(regular, premature_s=(2.62, 5.82))
    assert len(found_beats(signal)) == len(regular) + 2
    disturbed = ECG_BYTE_BEAT.apply(signal, CANONICAL_LEADS, 500.0)[0]
    num_beat = 8 * ECG_BYTE_BEAT.beat_samples
    assert np.abs(disturbed[:num_beat] - clean[:num_beat]).max() < 0.12


def after_peak(seconds):
    """Sample of the beat view that lies ``seconds`` after the R peak."""
    return round((FINE.before_s + seconds) * FINE.beat_fs_hz)


def test_median_of_equal_beats_is_the_beat_itself():
    beats = np.arange(1.0, 9.3, 0.8)
    segment = FINE.apply(ecg(beats, noise=0.0), CANONICAL_LEADS, 500.0)[0]
    first = segment[: FINE.beat_samples]
    peak = round(FINE.before_s * FINE.beat_fs_hz)
    assert abs(int(np.argmax(first)) - peak) <= 1
    assert 0.8 * 0.4 < first.max() < 1.05 * 0.4
    assert abs(first[after_peak(-0.08) : after_peak(-0.04)].mean()) < 0.02


def test_an_elevated_st_segment_stands_above_the_level_before_the_qrs():
    beats = np.arange(0.7, 9.4, 0.8)
    signal = ecg(beats)
    time = np.arange(signal.shape[1]) / 500.0
    for beat in beats:
        inside = (time > beat + 0.04) & (time < beat + 0.24)
        signal[:, inside] += 0.3
    segment = FINE.apply(signal, CANONICAL_LEADS, 500.0)[0].reshape(-1)
    beat = segment[FINE.beat_samples : 2 * FINE.beat_samples]
    assert 0.22 < beat[after_peak(0.08) : after_peak(0.14)].mean() < 0.42


@pytest.mark.parametrize("kind", ["flat", "noise", "one beat", "huge step"])
def test_without_clear_beats_there_is_still_a_finite_segment(kind):
    signal = np.zeros((12, 5000))
    if kind == "noise":
        signal = np.random.default_rng(2).normal(0, 0.05, (12, 5000))
    elif kind == "one beat":
        signal = ecg([0.1], noise=0.0)
    elif kind == "huge step":
        signal[:, 2500:] = 30.0
    segment = ECG_BYTE_BEAT.apply(signal, CANONICAL_LEADS, 500.0)
    assert segment.shape == (1, *ECG_BYTE_BEAT.shape)
    assert np.isfinite(segment).all()


def test_every_ten_seconds_give_a_segment_of_their_own():
    signal = ecg(np.arange(0.5, 25.5, 0.8), seconds=26.0)
    segments = ECG_BYTE_BEAT.apply(signal, CANONICAL_LEADS, 500.0)
    assert len(segments) == 2
    alone = ECG_BYTE_BEAT.apply(signal[:, 5000:10000], CANONICAL_LEADS, 500.0)
    np.testing.assert_array_equal(segments[1], alone[0])


@pytest.mark.parametrize(
    ("fs_hz", "samples", "message"), [(99.0, 2000, "at least 100"), (500.0, 4900, "needs 10 s")]
)
def test_unfit_records_are_refused(fs_hz, samples, message):
    with pytest.raises(RecordError, match=message):
        ECG_BYTE_BEAT.apply(np.zeros((12, samples)), CANONICAL_LEADS, fs_hz)


def test_contradicting_constants_are_refused():
    with pytest.raises(RecipeError, match="multiple"):
        replace(ECG_BYTE_BEAT, work_fs_hz=120)
    with pytest.raises(RecipeError, match="rhythm_high_hz"):
        replace(ECG_BYTE_BEAT, rhythm_fs_hz=20)
    variant = replace(ECG_BYTE_BEAT, name="variant", beat_fs_hz=100)
    assert variant.shape == (8 * 80 + 250,)
    assert variant.apply(ecg([1, 2, 3]), CANONICAL_LEADS, 500.0).shape == (1, *variant.shape)


def test_the_commonest_shape_leads():
    narrow, broad = np.zeros((1, 30)), np.zeros((1, 30))
    narrow[0, 15], broad[0, 5:25] = 1.0, -1.0
    chosen = typical_beats(np.array([broad, narrow, narrow, broad, narrow]))
    assert chosen.tolist() == [1, 2, 4]


def test_no_beats_in_silence():
    assert detect_beats(np.zeros((8, 2000)), 200.0).size == 0
    assert BeatWindow(3, 4).length == 7


@pytest.mark.parametrize(("fs_hz", "output"), [(500.0, 100), (257.0, 100), (100.0, 200)])
def test_resampled_tone_keeps_amplitude_and_phase(fs_hz, output):
    seconds = 10.0
    time = np.arange(round(seconds * fs_hz)) / fs_hz
    tone = np.sin(2 * np.pi * 5.0 * time)[None]
    got = Spectrum(tone, fs_hz).band(0.5, 40.0, output)[0]
    wanted = np.sin(2 * np.pi * 5.0 * np.arange(len(got)) / output)
    inner = slice(output, -output)
    np.testing.assert_allclose(got[inner], wanted[inner], atol=0.02)


def test_mains_and_wander_are_removed_before_slowing_down():
    time = np.arange(5000) / 500.0
    hum = np.sin(2 * np.pi * 60 * time) + 2 * np.sin(2 * np.pi * 0.1 * time)
    got = Spectrum(hum[None], 500.0).band(0.5, 16.0, 50, (2, 3))[0]
    assert np.abs(got[50:-50]).max() < 0.05


def test_real_recordings_have_plausible_beats(shared_dir):
    from ecg_fairseq.records.readers.any_format import read_record

    paths = sorted((shared_dir / "data/ptb-xl/records500").glob("*/*.hea"))[::3]
    assert len(paths) > 90
    rates = []
    for path in paths:
        record = read_record(path)
        beats = found_beats(record.signal, record.fs_hz)
        rates.append(60.0 / np.median(np.diff(beats)) if len(beats) > 2 else 0.0)
    plausible = [29 < rate < 200 for rate in rates]
    assert np.mean(plausible) >= 0.99
    assert 60 < np.median(rates) < 85
