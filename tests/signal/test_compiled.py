"""The compiled inner loops against their numpy and scipy forms: the same bits."""

import numpy as np
import pytest

from ecg_fairseq.signal import filters, rate_change
from ecg_fairseq.signal import normalizing as normalizing
from ecg_fairseq.signal.compiled import compiled_core
from ecg_fairseq.signal.recipes import get_recipe

needs_core = pytest.mark.skipif(
    compiled_core() is None, reason="the compiled core is not installed (no Rust compiler)"
)
FILTERS = {
    "notch": filters.notch(50.0, 30.0, 500.0),
    "band-pass": filters.butterworth(4, (0.5, 100.0), "bandpass", 500.0),
    "high-pass": filters.butterworth(4, (0.05,), "highpass", 500.0),
    "odd": filters.butterworth(3, (40.0,), "lowpass", 500.0),
}


def recording(num_leads: int, dtype: type = np.float64) -> np.ndarray:
    random = np.random.default_rng(num_leads)
    return random.normal(0.0, 0.05, (num_leads, 2000)).cumsum(axis=1).astype(dtype)


@pytest.fixture
def without_core(monkeypatch):
    for module in (filters, normalizing, rate_change):
        monkeypatch.setattr(module, "compiled_core", lambda: None)


@needs_core
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("num_leads", [1, 2, 8, 12, 15])
def test_filters_equal_scipy(name, num_leads):
    signal = recording(num_leads)
    expected = filters.zero_phase_by_scipy(signal, FILTERS[name])
    np.testing.assert_array_equal(filters.zero_phase(signal, FILTERS[name]), expected)


@needs_core
def test_filter_without_a_kernel_goes_to_scipy():
    steep = filters.butterworth(5, (0.5, 100.0), "bandpass", 500.0)
    expected = filters.zero_phase_by_scipy(recording(3), steep)
    np.testing.assert_array_equal(filters.zero_phase(recording(3), steep), expected)


@needs_core
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardising_and_interpolating_equal_numpy(dtype, monkeypatch):
    signal = recording(14, dtype)
    signal[3] = 0.1  # its mean is rounded, so that the lead is not exactly level
    known_flat = np.zeros((14, 1), dtype=bool)
    known_flat[5] = True
    scores = normalizing.standardise(signal, known_flat)
    longer = rate_change.resample_linear(signal, 2500)
    for module in (normalizing, rate_change):
        monkeypatch.setattr(module, "compiled_core", lambda: None)
    expected = normalizing.standardise(signal, known_flat)
    for name in ("values", "mean", "deviation"):
        np.testing.assert_array_equal(getattr(scores, name), getattr(expected, name))
    assert not scores.values[3].any()
    assert not scores.values[5].any()
    np.testing.assert_array_equal(longer, rate_change.resample_linear(signal, 2500))


@needs_core
@pytest.mark.parametrize("name", ["ecg_byte", "ecg_fm", "heartllm", "dual_attention"])
@pytest.mark.parametrize("fs_hz", [400.0, 500.0])
def test_recipes_do_not_depend_on_the_core(name, fs_hz, monkeypatch):
    recipe = get_recipe(name)
    signal = np.random.default_rng(1).normal(0.0, 0.3, (12, 5200)).astype(np.float32)
    leads = get_recipe("ecg_fm").leads
    fast = recipe.apply(signal, leads, fs_hz)
    for module in (filters, normalizing, rate_change):
        monkeypatch.setattr(module, "compiled_core", lambda: None)
    np.testing.assert_array_equal(fast, recipe.apply(signal, leads, fs_hz))


def test_without_the_core_all_still_runs(without_core):
    assert get_recipe("ecg_byte").apply(recording(12), get_recipe("ecg_fm").leads, 500.0).shape
