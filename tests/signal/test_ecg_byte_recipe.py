"""The fast ECG-Byte recipe against the published formulation, step by step, and its refusals."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import pywt
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.signal import butter, filtfilt, iirnotch, sosfiltfilt

from ecg_fairseq.errors import RecipeError, RecordError
from ecg_fairseq.signal.filters import butterworth_sections, zero_phase_in_sections
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes import RECIPE_NAMES, get_recipe, recipe_from_description
from ecg_fairseq.signal.recipes import ecg_byte as ecg_byte_module
from ecg_fairseq.signal.recipes.ecg_byte import (
    ECG_BYTE,
    ECG_BYTE_10S_VERSION_1,
    ECG_BYTE_REFERENCE,
    ECG_BYTE_VERSION_1,
)
from ecg_fairseq.signal.resampling import resample_cubic
from ecg_fairseq.signal.wavelets import denoise

VERSIONS = (ECG_BYTE, ECG_BYTE_VERSION_1)


def published_form(signal: np.ndarray, fs_hz: float, in_sections: bool = False) -> np.ndarray:
    """Fact sheet ecg-byte 1.2, steps 4 to 6, written as published: lead by lead.

    Args:
        in_sections: the last high-pass in second-order sections, which is not as published.
    """
    columns = signal.T
    for frequency in (50.0, 60.0):
        columns = filtfilt(*iirnotch(frequency, 30, fs_hz), columns, axis=0)
    columns = filtfilt(*butter(4, [0.5, 100], "bandpass", fs=fs_hz), columns, axis=0)
    if in_sections:
        columns = sosfiltfilt(butter(4, 0.05, "highpass", fs=fs_hz, output="sos"), columns, axis=0)
    else:
        columns = filtfilt(*butter(4, 0.05, "highpass", fs=fs_hz), columns, axis=0)
    leads = []
    for lead in columns.T:
        first, *details = pywt.wavedec(lead, "db6", level=4)
        threshold = np.median(np.abs(details[0])) / 0.6745
        shrunk = [
            np.sign(d) * np.maximum(np.abs(d) - threshold, 0) * (np.abs(d) > 1e-10) for d in details
        ]
        leads.append(pywt.waverec([first, *shrunk], "db6"))
    denoised = np.array(leads)
    num_samples = denoised.shape[1]
    seconds = num_samples / fs_hz
    before = np.linspace(0, seconds, num_samples)
    after = np.linspace(0, seconds, int(num_samples * 250 / fs_hz))
    return np.array(
        [interp1d(before, lead, kind="cubic", fill_value="extrapolate")(after) for lead in denoised]
    )


@pytest.mark.parametrize(("fs_hz", "samples"), [(500, 5000), (400, 4096), (1000, 6000)])
@pytest.mark.parametrize("name", ["ecg_byte", "ecg_byte@1"])
def test_equals_the_published_form(name, fs_hz, samples):
    recipe = get_recipe(name)
    rng = np.random.default_rng(samples)
    signal = np.cumsum(rng.normal(0, 0.05, (12, samples)), axis=1) + rng.normal(0, 0.1, (12, 1))
    wanted = published_form(signal, fs_hz, in_sections=name == "ecg_byte")
    got = recipe.steps(signal, CANONICAL_LEADS, fs_hz)[3][2]
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    windows = recipe.apply(signal, CANONICAL_LEADS, fs_hz)
    assert windows.dtype == np.float32
    np.testing.assert_allclose(windows[1], wanted[:, 500:1000], atol=2e-6)


def one_ulp_off(design: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter design whose coefficients but the leading ones differ in the last bit."""

    def other(*arguments: Any) -> Any:
        made = design(*arguments)
        moved = {
            field.name: np.where(
                np.isin(getattr(made, field.name), (0.0, 1.0)),
                getattr(made, field.name),
                np.nextafter(getattr(made, field.name), 9.0),
            )
            for field in fields(made)
            if field.name != "initial_state"
        }
        return replace(made, **moved)

    return other


def test_the_last_bit_of_a_coefficient_does_not_show(monkeypatch):
    signal = np.cumsum(np.random.default_rng(4).normal(0, 0.02, (12, 5000)), axis=1)
    before = {recipe: recipe.apply(signal, CANONICAL_LEADS, 500) for recipe in VERSIONS}
    for name in ("butterworth", "butterworth_sections"):
        monkeypatch.setattr(ecg_byte_module, name, one_ulp_off(getattr(ecg_byte_module, name)))
    moved = [
        np.abs(recipe.apply(signal, CANONICAL_LEADS, 500) - before[recipe]).max()
        for recipe in VERSIONS
    ]
    assert moved[0] < 2e-6  # float32 values of up to a few mV
    assert moved[1] > 1e-4


@pytest.mark.parametrize("shape", [(12, 5000), (3, 16), (400,)])
def test_sections_equal_scipys(shape):
    signal = np.random.default_rng(0).normal(size=shape)
    for order in (3, 4):
        design = butterworth_sections(order, (0.05,), "highpass", 500.0)
        wanted = sosfiltfilt(design.sections, signal, axis=-1)
        np.testing.assert_array_equal(zero_phase_in_sections(signal, design), wanted)
    with pytest.raises(RecordError, match="too few to filter"):
        zero_phase_in_sections(signal[..., :15], design)


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 300), st.integers(2, 400), st.integers(0, 2**31))
def test_spline_equals_scipys(num_input, num_output, seed):
    signal = np.random.default_rng(seed).normal(size=(2, num_input))
    grid = np.linspace(0, 1, num_input)
    wanted = interp1d(grid, signal, kind="cubic", axis=1)(np.linspace(0, 1, num_output))
    np.testing.assert_allclose(resample_cubic(signal, num_output), wanted, atol=1e-8)


@pytest.mark.parametrize("samples", [5000, 4999, 1301])
def test_denoising_keeps_the_length_and_survives_flat_leads(samples):
    signal = np.zeros((2, samples))
    signal[1] = np.sin(np.arange(samples) / 20)
    cleaned = denoise(signal, "db6", 4)
    assert cleaned.shape == signal.shape
    assert np.isfinite(cleaned).all()
    assert not cleaned[0].any()


def test_leads_are_taken_by_name():
    signal = np.random.default_rng(0).normal(size=(12, 5000))
    turned = signal[::-1]
    straight = ECG_BYTE.apply(signal, CANONICAL_LEADS, 500)
    np.testing.assert_array_equal(ECG_BYTE.apply(turned, CANONICAL_LEADS[::-1], 500), straight)
    straight = ECG_BYTE_VERSION_1.apply(signal, CANONICAL_LEADS, 500)
    reference = ECG_BYTE_REFERENCE.apply(signal, CANONICAL_LEADS, 500)
    np.testing.assert_array_equal(reference[:, 3], straight[:, 4])
    np.testing.assert_array_equal(reference[:, 4], straight[:, 3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fs_hz": 200.0}, "needs more than 200 Hz"),
        ({"fs_hz": float("nan")}, "sampling rate"),
        ({"samples": 900}, "needs at least 2 s"),
        ({"samples": 20}, "needs at least 2 s"),
        ({"bad": np.nan}, "lead II: 1"),
        ({"bad": np.inf}, "NaN or Inf"),
        ({"leads": CANONICAL_LEADS[:11]}, "shape"),
        ({"leads": (*CANONICAL_LEADS[:11], "V9")}, "V6 is missing"),
    ],
)
def test_unfit_records_are_refused_with_a_reason(change, message):
    signal = np.random.default_rng(1).normal(size=(12, change.get("samples", 5000)))
    if "bad" in change:
        signal[1, 7] = change["bad"]
    with pytest.raises(RecordError, match=message):
        ECG_BYTE.apply(signal, change.get("leads", CANONICAL_LEADS), change.get("fs_hz", 500.0))


@pytest.mark.parametrize(("fs_hz", "samples"), [(400.0, 5000), (500.0, 4999)])
def test_the_reference_takes_only_what_it_was_published_for(fs_hz, samples):
    with pytest.raises(RecordError, match="use recipe ecg_byte"):
        ECG_BYTE_REFERENCE.apply(np.zeros((12, samples)), CANONICAL_LEADS, fs_hz)


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_layout_adds_up_and_the_last_step_is_the_result(name):
    recipe = get_recipe(name)
    assert sum(strip.num_samples for strip in recipe.strips) == recipe.num_values
    signal = np.random.default_rng(3).normal(size=(12, 5000)).astype(np.float32)
    segments = recipe.apply(signal, CANONICAL_LEADS, 500.0)
    assert segments.shape[1:] == recipe.shape
    np.testing.assert_array_equal(recipe.steps(signal, CANONICAL_LEADS, 500.0)[-1][2], segments)


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_every_constant_is_in_the_hash(name):
    recipe = get_recipe(name)
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        changed = {
            str: lambda v: v + "x",
            int: lambda v: v * 2,
            float: lambda v: v * 0.99,
            tuple: lambda v: v[::-1],
            type(None): lambda v: 1.0,
        }[type(value)](value)
        if changed != value:
            other = replace(recipe, **{field.name: changed})
            assert other.hash() != recipe.hash(), field.name


def test_a_foreign_hash_is_refused_naming_both():
    description = ECG_BYTE.describe()
    assert recipe_from_description(description, "here") is ECG_BYTE
    with pytest.raises(RecipeError, match="feedfeed"):
        recipe_from_description({**description, "hash": "feedfeed0"}, "there")
    with pytest.raises(RecipeError, match="unknown recipe"):
        get_recipe("nix")


def test_version_1_is_found_by_its_hash_and_by_name():
    for recipe in (ECG_BYTE_VERSION_1, ECG_BYTE_10S_VERSION_1):
        assert recipe_from_description(recipe.describe(), "a checkpoint") is recipe
        assert get_recipe(f"{recipe.name}@1") is recipe
        assert get_recipe(f"{recipe.name}@2") is get_recipe(recipe.name)
        assert get_recipe(recipe.name).version == 2
    with pytest.raises(RecipeError, match="ecg_fm"):
        recipe_from_description({**ECG_BYTE_VERSION_1.describe(), "name": "ecg_fm"}, "a mixture")
    with pytest.raises(RecipeError, match="ecg_byte@1"):
        get_recipe("ecg_byte@3")


HASHES = {
    "ecg_byte": "1cdf7635a2f9230b",
    "ecg_byte_10s": "0fd2255b99d03237",
    "ecg_byte@1": "02c2998923c58b89",
    "ecg_byte_10s@1": "2d7634040b4a6bd7",
    "ecg_byte_reference": "69ffc7ff525bba80",
    "ecg_byte_beat": "9d8bd0bd44abbc6b",
    "ecg_fm": "5df1e889a808e17e",
    "ecg_fm@1": "99518e029e372c69",
    "ecg_fm_reference": "98c318a7a634d543",
    "heartllm": "3f717fe3de0ccf69",
    "heartllm@1": "df91fca02bee4c53",
    "heartllm_reference": "44544b04c464312b",
    "dual_attention": "f00f5f2877755b60",
    "dual_attention@1": "2cce92a074cc049b",
    "dual_attention_reference": "4e83e6014430fc1d",
    "dual_attention_reference@1": "407d1586ad089ecc",
    "dual_attention_pretraining": "c129e2168ebf0dcb",
    "dual_attention_pretraining@1": "1183719f19795371",
    "dual_attention_rhythm": "0ac69b346d2174de",
    "dual_attention_rhythm@1": "eaa130b8f9290f58",
    "ecg_encoder": "b92d56a69549ed88",
    "ecg_encoder@1": "84020a7cfd7a233b",
    "ecg_encoder_reference": "3fe5431ba3d9260a",
    "ecg_encoder_reference@1": "03f5b08af8730a17",
}


def test_hashes_that_files_of_users_carry_never_change():
    assert {name: get_recipe(name).hash()[:16] for name in HASHES} == HASHES
    assert set(RECIPE_NAMES) <= HASHES.keys()
