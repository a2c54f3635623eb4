"""The recipes of ECG-FM, HeartLLM, dual attention and ecg_encoder against slow published forms."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d

from ecg_fairseq.errors import RecipeError, RecordError
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.normalizing import NORMALISE_MODES, scaling_of, standardise
from ecg_fairseq.signal.rate_change import change_rate, resample_linear, resampled_length
from ecg_fairseq.signal.recipes import get_recipe, recipe_from_description
from ecg_fairseq.signal.recipes.heartllm import MIMIC_ORDER

ALL = (
    "ecg_fm",
    "ecg_fm_reference",
    "heartllm",
    "dual_attention",
    "dual_attention_reference",
    "dual_attention_pretraining",
    "dual_attention_rhythm",
    "ecg_encoder",
    "ecg_encoder_reference",
)


def recording(fs_hz: float, seconds: float = 10.24, seed: int = 0) -> np.ndarray:
    """A float32 recording (12, T): beats at 75 a minute, wander and a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * fs_hz)) / fs_hz
    beats = sum(np.exp(-(((time - at) / 0.02) ** 2)) for at in np.arange(0.5, seconds, 0.8))
    wander = 0.2 * np.sin(2 * np.pi * 0.3 * time)
    leads = rng.uniform(0.2, 1.5, (12, 1)) * (beats + wander) + rng.normal(0, 0.01, (12, len(time)))
    return leads.astype(np.float32)


def tone(frequency_hz: float, fs_hz: float, seconds: float = 10.0) -> np.ndarray:
    time = np.arange(round(seconds * fs_hz)) / fs_hz
    return np.sin(2 * np.pi * frequency_hz * time)[None].repeat(12, axis=0)


def z_score(row: np.ndarray) -> np.ndarray:
    """One lead as published: population deviation, flat leads 0."""
    centred = row - row.mean()
    return centred / row.std() if row.std() > 0 else np.zeros_like(centred)


@pytest.mark.parametrize(("fs_hz", "seconds"), [(400, 10.24), (257, 12.0), (500, 7.0)])
def test_ecg_fm_equals_lead_by_lead(fs_hz, seconds):
    signal = recording(fs_hz, seconds).astype(np.float64)
    signal[4] = 0.3
    rows = []
    for row in signal:
        length = int(len(row) * (500 / fs_hz))
        grid = np.linspace(0, length - 1, len(row))
        rows.append(z_score(interp1d(grid, row)(np.arange(length))))
    rows[4] = np.zeros_like(rows[4])
    got = get_recipe("ecg_fm").apply(signal, CANONICAL_LEADS, fs_hz)
    assert got.dtype == np.float32
    assert len(got) == len(rows[0]) // 2500 > 0
    for number, window in enumerate(got):
        wanted = np.array(rows)[:, number * 2500 : (number + 1) * 2500]
        np.testing.assert_allclose(window, wanted, atol=1e-5)
    assert not got[:, 4].any()


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 200), st.integers(2, 300), st.integers(0, 2**31))
def test_linear_equals_scipys(num_input, num_output, seed):
    signal = np.random.default_rng(seed).normal(size=(2, num_input))
    grid = np.linspace(0, num_output - 1, num_input)
    wanted = interp1d(grid, signal, axis=1)(np.arange(num_output))
    np.testing.assert_allclose(resample_linear(signal, num_output), wanted, atol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_memory_layout_does_not_change_a_bit(order):
    signal = recording(400)
    wanted = standardise(np.ascontiguousarray(signal))
    got = standardise(np.asarray(signal, order=order))
    np.testing.assert_array_equal(got.values, wanted.values)
    # Sample after sample, as the published files were summed.
    total = np.cumsum(signal.astype(np.float64), axis=1)[:, -1:]
    np.testing.assert_array_equal(got.mean, total / signal.shape[1])


def test_only_the_references_let_high_tones_fold_into_the_ecg():
    for name, fs_hz, frequency_hz in (("ecg_fm", 1000.0, 410.0), ("ecg_encoder", 500.0, 180.0)):
        disturbed = recording(fs_hz, 10) + tone(frequency_hz, fs_hz)
        change = {}
        for form in (name, f"{name}_reference"):
            recipe = get_recipe(form)
            clean = recipe.steps(recording(fs_hz, 10), CANONICAL_LEADS, fs_hz)[1][2]
            noisy = recipe.steps(disturbed, CANONICAL_LEADS, fs_hz)[1][2]
            change[form] = (noisy - clean).std()
        assert change[f"{name}_reference"] > 0.4
        assert change[name] < 0.02


def test_heartllm_standardises_every_window_and_its_reference_swaps_two_leads():
    signal = recording(500, 20)
    signal[7] = -0.1
    windows = get_recipe("heartllm").apply(signal, CANONICAL_LEADS, 500)
    assert windows.shape == (2, 12, 5000)
    for number, window in enumerate(windows):
        part = signal[:, number * 5000 : (number + 1) * 5000].astype(np.float64)
        wanted = np.array([z_score(row) for row in part])
        wanted[7] = 0
        np.testing.assert_allclose(window, wanted, atol=1e-6)
    reference = get_recipe("heartllm_reference")
    swapped = reference.apply(signal[:, :5000], CANONICAL_LEADS, 500.0)
    order = [CANONICAL_LEADS.index(lead) for lead in MIMIC_ORDER]
    np.testing.assert_array_equal(swapped[0], windows[0][order])
    for fs_hz, samples in ((400.0, 5000), (500.0, 4999)):
        with pytest.raises(RecordError, match="takes only"):
            reference.apply(signal[:, :samples], CANONICAL_LEADS, fs_hz)


@pytest.mark.parametrize(("samples", "before"), [(600, 4), (601, 3), (608, 0)])
def test_dual_attention_pads_both_ends(samples, before):
    beat = recording(500, samples / 500)
    beat[2] = 5.0
    padded = get_recipe("dual_attention").apply(beat, CANONICAL_LEADS, 500)[0]
    wanted = np.zeros((12, 608))
    wanted[:, before : before + samples] = [z_score(row.astype(np.float64)) for row in beat]
    wanted[2] = 0
    np.testing.assert_allclose(padded, wanted, atol=1e-6)
    reference = get_recipe("dual_attention_reference")
    if samples % 2:
        with pytest.raises(RecordError, match="odd number"):
            reference.apply(beat, CANONICAL_LEADS, 500)
    else:
        np.testing.assert_array_equal(reference.apply(beat, CANONICAL_LEADS, 500)[0], padded)


def test_dual_attention_takes_the_typical_beat_of_a_long_recording():
    recipe = get_recipe("dual_attention")
    padded = recipe.apply(recording(500), CANONICAL_LEADS, 500)
    assert padded.shape == (1, 12, 608)
    peak = np.abs(padded[0]).sum(axis=0).argmax()
    assert abs(peak - (4 + recipe.before_s * 500)) <= 0.03 * 500
    slow = recipe.apply(recording(250), CANONICAL_LEADS, 250)
    assert np.corrcoef(slow.ravel(), padded.ravel())[0, 1] > 0.95


def test_dual_attention_reference_cuts_and_rhythm_pads_ten_seconds():
    signal = recording(500, 10)
    cut = get_recipe("dual_attention_reference").apply(signal, CANONICAL_LEADS, 500)
    scores = np.array([z_score(row.astype(np.float64)) for row in signal])
    np.testing.assert_allclose(cut[3], scores[:, 3 * 608 : 4 * 608], atol=1e-5)
    assert len(cut) == 8
    rhythm = get_recipe("dual_attention_rhythm").apply(signal, CANONICAL_LEADS, 500)
    assert rhythm.shape == (1, 12, 1024)
    assert not rhythm[..., :12].any()
    assert not rhythm[..., -12:].any()
    np.testing.assert_allclose(rhythm[0, :, 12:-12].std(axis=1), 1, atol=1e-4)


def test_the_cleaning_removes_wander_and_mains_and_keeps_flat_leads_flat():
    time = np.arange(1000) / 100
    clean = recording(100, 10)
    dirty = clean + np.sin(2 * np.pi * 0.1 * time) + 0.5 * np.cos(2 * np.pi * 50 * time)
    dirty[6] = 0.7
    recipe = get_recipe("dual_attention_rhythm")
    got = recipe.apply(dirty, CANONICAL_LEADS, 100)[0, 1, 300:-300]
    wanted = recipe.apply(clean, CANONICAL_LEADS, 100)[0, 1, 300:-300]
    assert np.corrcoef(got, wanted)[0, 1] > 0.98
    assert not recipe.apply(dirty, CANONICAL_LEADS, 100)[0, 6].any()
    with pytest.raises(RecordError, match="too few to clean"):
        recipe.apply(clean[:, :10], CANONICAL_LEADS, 100)


def test_ecg_encoder_reference_is_cubic_and_puts_avl_first():
    signal = recording(500, 10.5)
    got = get_recipe("ecg_encoder_reference").apply(signal, CANONICAL_LEADS, 500)
    num_samples = signal.shape[1]
    seconds = num_samples / 500
    grid = np.linspace(0, seconds, num_samples)
    wanted = interp1d(grid, signal[4], kind="cubic")(np.linspace(0, seconds, num_samples // 2))
    assert got.shape == (1, 12, 2500)
    np.testing.assert_allclose(got[0, 3], wanted[:2500], atol=1e-6)
    sound = get_recipe("ecg_encoder").apply(signal, CANONICAL_LEADS, 500)
    # Sound resampling keeps the time of every sample.
    np.testing.assert_allclose(sound[0, 4, 50:-50], signal[4, ::2][50:2450], atol=0.05)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("fs_hz", [100.0, 257.0, 400.0, 500.0, 999.56])
def test_any_rate_gives_finite_segments_and_flat_leads_stay_flat(name, fs_hz):
    recipe = get_recipe(name)
    signal = recording(fs_hz, 10.3)
    signal[8] = 0.37
    before = signal.copy()
    segments = recipe.apply(signal, CANONICAL_LEADS, fs_hz)
    assert len(segments) > 0
    assert segments.shape[1:] == recipe.shape
    assert segments.dtype == np.float32
    assert np.isfinite(segments).all()
    np.testing.assert_array_equal(signal, before)
    if recipe.unit == "sd":
        assert not segments[:, 8].any()
        assert np.abs(segments).max() < 30
    else:
        np.testing.assert_allclose(segments[:, CANONICAL_LEADS.index("V3")], 0.37, atol=1e-6)
    np.testing.assert_array_equal(recipe.steps(signal, CANONICAL_LEADS, fs_hz)[-1][2], segments)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fs_hz": 99.0}, "needs at least 100 Hz"),
        ({"bad": np.nan}, "NaN or Inf"),
        ({"leads": (*CANONICAL_LEADS[:11], "V9")}, "V6 is missing"),
        ({"samples": 1}, "needs at least"),
    ],
)
def test_unfit_records_are_refused(name, change, message):
    signal = recording(500)[:, : change.get("samples", 5120)]
    if "bad" in change:
        signal[3, 5] = change["bad"]
    with pytest.raises(RecordError, match=message):
        get_recipe(name).apply(
            signal, change.get("leads", CANONICAL_LEADS), change.get("fs_hz", 500.0)
        )


def test_no_whole_rate_loses_a_sample():
    lost = {target: 0 for target in (100, 250, 500)}
    for target in lost:
        for fs_hz in range(1, 5001):
            for samples in (10 * fs_hz, 7 * fs_hz + 3):
                wanted = samples * target // fs_hz
                assert resampled_length(samples, float(fs_hz), float(target)) == wanted
                lost[target] += resampled_length(samples, fs_hz, target, "linear") != wanted
    assert all(lost.values())  # what fairseq-signals' own rule does; its files are met so
    assert resampled_length(3333, 333.3, 500.0) == 5000
    assert resampled_length(2934, 400.0, 500.0) == 3667


def test_a_whole_recording_gives_all_its_windows():
    windows = get_recipe("ecg_fm").apply(recording(227, 10), CANONICAL_LEADS, 227.0)
    assert len(windows) == 2
    published = get_recipe("ecg_fm_reference").apply(recording(227, 10), CANONICAL_LEADS, 227.0)
    assert len(published) == 1
    assert len(get_recipe("heartllm").apply(recording(333, 10), CANONICAL_LEADS, 333.0)) == 1
    assert len(get_recipe("ecg_byte").apply(recording(484, 10), CANONICAL_LEADS, 484.0)) == 5


RESAMPLED = ("ecg_fm", "heartllm", "dual_attention", "dual_attention_reference", "ecg_encoder")


@pytest.mark.parametrize("name", RESAMPLED)
def test_version_1_keeps_the_lengths_that_its_hash_stands_for(name):
    new, old = get_recipe(name), get_recipe(f"{name}@1")
    assert recipe_from_description(old.describe(), "a checkpoint") is old
    assert new.hash() != old.hash()
    assert new.input_hash() == old.input_hash() == old.hash()
    for fs_hz in (100, 250, 360, 500, 1000):
        signal = recording(fs_hz, 10)
        np.testing.assert_array_equal(
            new.apply(signal, CANONICAL_LEADS, fs_hz), old.apply(signal, CANONICAL_LEADS, fs_hz)
        )


def test_version_1_loses_a_window_where_it_always_did():
    signal = recording(227, 10)
    for name, counts in {"ecg_fm": (2, 1), "ecg_encoder_reference": (1, 0)}.items():
        found = []
        for version in (2, 1):
            try:
                recipe = get_recipe(f"{name}@{version}")
                found.append(len(recipe.apply(signal, CANONICAL_LEADS, 227.0)))
            except RecordError:
                found.append(0)
        assert tuple(found) == counts


def test_an_unknown_resampling_method_is_refused():
    with pytest.raises(RecipeError, match="expected polyphase"):
        change_rate(recording(400), 400, 500, "nearest")
    broken = replace(get_recipe("ecg_fm"), resampling="nearest")
    with pytest.raises(RecipeError, match="nearest"):
        broken.apply(recording(400), CANONICAL_LEADS, 400)


@pytest.mark.parametrize("mode", NORMALISE_MODES)
def test_scalings_are_reversible_and_survive_constants(mode):
    signal = recording(250, 10)
    scaling = scaling_of(signal, mode)
    scaled = scaling.scale(signal)
    np.testing.assert_allclose(scaling.restore(scaled), signal, atol=1e-5)
    axes = (0, 1) if mode.startswith("instance") else 1
    if mode.endswith("minmax"):
        np.testing.assert_allclose(scaled.min(axis=axes), 0, atol=1e-6)
        np.testing.assert_allclose(scaled.max(axis=axes), 1, atol=1e-4)
    else:
        np.testing.assert_allclose(scaled.std(axis=axes), 1, atol=1e-4)
    constant = np.full((12, 50), 0.4)
    np.testing.assert_allclose(scaling_of(constant, mode).scale(constant), 0, atol=1e-8)
    with pytest.raises(RecipeError, match="expected one of"):
        scaling_of(signal, "zscore")
