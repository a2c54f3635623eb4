"""Lead relations: exact before noise, after noise, at the lower rate and in the file's integers."""

from dataclasses import replace

import numpy as np
import pytest

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.simulator import (
    Findings,
    Recording,
    draw_anatomy,
    draw_nuisance,
    resample_leads,
    simulate_recording,
)
from ecg_fairseq.signal.simulator.findings import CONDUCTIONS, NOISES, REPOLARISATIONS, VOLTAGES
from ecg_fairseq.signal.simulator.leads import digitise

ROW = {name: index for index, name in enumerate(CANONICAL_LEADS)}
CASES = [
    Findings(),
    Findings(atrial_fibrillation=True, rate_class="fast", premature_beats=True),
    Findings(av_block=True, rate_class="slow", left_axis=True),
    *[Findings(conduction=name) for name in CONDUCTIONS],
    *[Findings(voltage=name) for name in VOLTAGES],
    *[Findings(repolarisation=name) for name in REPOLARISATIONS],
    *[Findings(noise=name) for name in NOISES],
]


def simulate(findings: Findings, seed: int = 0, fs_hz: float = 500) -> Recording:
    random = np.random.default_rng(seed)
    return simulate_recording(findings, draw_anatomy(random), draw_nuisance(random), fs_hz, random)


def relations(leads: np.ndarray) -> dict[str, np.ndarray]:
    one, two, three = leads[ROW["I"]], leads[ROW["II"]], leads[ROW["III"]]
    half = leads.dtype.type(0.5)
    return {
        "Einthoven": two - (one + three),
        "aVR": leads[ROW["aVR"]] + (one + two) * half,
        "aVL": leads[ROW["aVL"]] - (one - three) * half,
        "aVF": leads[ROW["aVF"]] - (two + three) * half,
    }


@pytest.mark.parametrize("findings", CASES, ids=lambda findings: str(findings)[9:60])
def test_einthoven_and_goldberger_hold_exactly(findings: Findings) -> None:
    recording = simulate(findings)
    lowered = resample_leads(recording.signal, 500, 100)
    for name, leads in [
        ("clean", recording.clean),
        ("noisy", recording.signal),
        ("100 Hz", lowered),
    ]:
        assert leads.dtype == np.float32
        assert np.isfinite(leads).all()
        for relation, error in relations(leads).items():
            assert not error.any(), f"{relation} is off by {np.abs(error).max()} in {name}"


def test_relations_survive_digitising() -> None:
    digital = digitise(simulate(Findings(noise="drift")).signal)
    assert digital.dtype == np.int16
    errors = relations(digital.astype(np.float64))
    assert not errors["Einthoven"].any()
    assert max(np.abs(errors[name]).max() for name in ("aVR", "aVL", "aVF")) <= 0.5


def test_digitising_saturates_without_the_invalid_value() -> None:
    huge = np.full((12, 4), 100.0, dtype=np.float32)
    huge[:, 2:] = -100.0
    digital = digitise(huge)
    assert digital.min() >= -32767
    assert not relations(digital.astype(np.float64))["Einthoven"].any()


def test_an_arm_electrode_disturbs_its_three_leads_most() -> None:
    random = np.random.default_rng(3)
    anatomy, nuisance = draw_anatomy(random), draw_nuisance(random)
    quiet = replace(nuisance, muscle_mv=1e-6, mains_mv=0.0, wander_mv=0.0, disturbed=0)
    recording = simulate_recording(Findings(noise="static"), anatomy, quiet, 500, random)
    noise = (recording.signal - recording.clean).std(axis=1)
    full = noise[[ROW["I"], ROW["II"], ROW["aVR"]]]
    assert full.min() > 0.06
    assert noise[ROW["III"]] < 1e-5  # LL and LA are quiet
    np.testing.assert_allclose(noise[ROW["V1"] :], noise[ROW["I"]] / 3, rtol=0.01)


def test_same_generator_same_recording_other_generator_another() -> None:
    first, again, other = simulate(Findings(), 1), simulate(Findings(), 1), simulate(Findings(), 2)
    np.testing.assert_array_equal(first.signal, again.signal)
    assert np.abs(first.signal - other.signal).max() > 0.1


@pytest.mark.parametrize("fs_hz", [100, 250, 500, 1000])
def test_length_is_ten_seconds_at_any_rate(fs_hz: int) -> None:
    assert simulate(Findings(), fs_hz=fs_hz).signal.shape == (12, 10 * fs_hz)


def test_resampling_keeps_slow_waves_and_removes_fast_ones() -> None:
    time = np.arange(5000) / 500
    leads = np.zeros((12, 5000), dtype=np.float32)
    leads[0], leads[2] = np.sin(2 * np.pi * 5 * time), np.sin(2 * np.pi * 120 * time)
    lowered = resample_leads(leads, 500, 100)
    assert lowered.shape == (12, 1000)
    inner = slice(50, -50)
    np.testing.assert_allclose(lowered[0, inner], leads[0, ::5][inner], atol=2e-3)
    assert np.abs(lowered[2, inner]).max() < 0.01
    np.testing.assert_array_equal(resample_leads(leads, 100, 100), leads)


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(RecordError, match="100 Hz or more"):
        simulate(Findings(), fs_hz=50)
    with pytest.raises(RecordError, match="multiple of 100"):
        resample_leads(np.zeros((12, 2500), np.float32), 250, 100)
