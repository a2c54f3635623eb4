"""Augmentations: parameters apart from application, ranges, refusals, and a slow 3KG as oracle."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ecg_fairseq.errors import RecipeError
from ecg_fairseq.signal.augmentations import (
    AUGMENTATIONS,
    BaselineShift,
    BaselineWander,
    EmgNoise,
    PowerlineNoise,
    RandomLeadMasking,
    ThreeKg,
    TwoViews,
    augmentation_of,
    chain_of,
)
from ecg_fairseq.signal.augmentations.vectorcardiogram import INVERSE_DOWER, rotation
from ecg_fairseq.signal.leads import CANONICAL_LEADS, INDEPENDENT_LEADS

SHAPE = (12, 2500)


@pytest.fixture
def signal() -> np.ndarray:
    """A z-scored 12-lead signal whose limb leads fit each other."""
    leads = np.random.default_rng(0).normal(size=SHAPE)
    leads[2] = leads[1] - leads[0]
    leads[3] = -(leads[0] + leads[1]) / 2
    leads[4] = leads[0] - leads[1] / 2
    leads[5] = leads[1] - leads[0] / 2
    return leads.astype(np.float32)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("generator", [np.random.default_rng, np.random.RandomState])
def test_apply_is_pure_and_draws_decide_everything(name, generator, signal):
    augmentation = augmentation_of(name)
    before = signal.copy()
    drawn = augmentation.draw(generator(5), SHAPE)
    first = augmentation.apply(signal, drawn)
    np.testing.assert_array_equal(signal, before)
    assert first.dtype == np.float32
    assert (first != signal).any()
    np.testing.assert_array_equal(augmentation.apply(signal, drawn), first)
    np.testing.assert_array_equal(augmentation(signal, generator(5)), first)
    assert (augmentation(signal, generator(6)) != first).any()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_probability_counts(name, signal):
    rng = np.random.default_rng(1)
    augmentation = augmentation_of(name, probability=0.25)
    left_out = sum(augmentation.draw(rng, (12, 50)) is None for _ in range(600))
    assert 390 < left_out < 510
    never = augmentation_of(name, probability=0.0)
    assert never.draw(rng, SHAPE) is None
    np.testing.assert_array_equal(never.apply(signal, None), signal)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if "masking" not in name])
def test_dependency_keeps_the_limb_leads_consistent(name, signal):
    changed = augmentation_of(name)(signal, np.random.default_rng(3)).astype(np.float64)
    np.testing.assert_allclose(changed[2], changed[1] - changed[0], atol=1e-6)
    np.testing.assert_allclose(changed[3:6].sum(axis=0), 0, atol=1e-5)
    free = augmentation_of(name, dependency="none")
    part = free(signal[:3], np.random.default_rng(3))
    assert part.shape == (3, 2500)
    with pytest.raises(RecipeError, match="3 leads"):
        augmentation_of(name)(signal[:3], np.random.default_rng(3))
    with pytest.raises(RecipeError, match="expected"):
        augmentation_of(name, dependency="all")(signal, np.random.default_rng(3))


NOISES = [name for name in AUGMENTATIONS if "masking" not in name]


def in_mv(values: np.ndarray) -> np.ndarray:
    """Return the twelve leads of (12, T) in mV, of which I, II and V1 to V6 are taken."""
    leads = values.astype(np.float64)
    leads[2] = leads[1] - leads[0]
    leads[3] = -(leads[0] + leads[1]) / 2
    leads[4] = leads[0] - leads[1] / 2
    leads[5] = leads[1] - leads[0] / 2
    return leads


@pytest.fixture
def standardized(signal) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twelve leads of their own sizes and levels after a z-score, their means and deviations."""
    sizes = np.random.default_rng(8).uniform(0.1, 1.5, (12, 1))
    leads = in_mv(signal * sizes + sizes[::-1])
    mean, deviation = leads.mean(axis=1, keepdims=True), leads.std(axis=1, keepdims=True)
    return ((leads - mean) / deviation).astype(np.float32), mean, deviation


@pytest.mark.parametrize("name", NOISES)
def test_noise_of_no_size_changes_no_standardized_lead(name, standardized):
    scores = standardized[0]
    rng = np.random.default_rng(3)
    silent = augmentation_of(name, min_amplitude=0.0, max_amplitude=0.0)
    np.testing.assert_array_equal(silent(scores, rng), scores)
    published = augmentation_of(name, min_amplitude=0.0, max_amplitude=0.0, dependency="published")(
        scores, rng
    )
    assert (published - scores).std(axis=1)[2:6].max() > 0.15
    np.testing.assert_array_equal(published[[0, 1, *range(6, 12)]], scores[[0, 1, *range(6, 12)]])


@pytest.mark.parametrize("name", NOISES)
def test_standardized_limb_leads_follow_as_in_mv(name, standardized):
    scores, mean, deviation = standardized
    augmentation = augmentation_of(name, max_amplitude=0.4)
    disturbed = augmentation(scores, np.random.default_rng(3)).astype(np.float64)
    assert (disturbed[:2] != scores[:2]).any()
    truth = (in_mv(disturbed * deviation + mean) - mean) / deviation
    np.testing.assert_allclose(disturbed, truth, atol=1e-5)


def test_three_kg_turns_standardized_limb_leads_with_the_others(standardized):
    scores, mean, deviation = standardized
    augmentation = ThreeKg(mask_ratio=0.0)
    views = augmentation.apply(scores, augmentation.draw(np.random.default_rng(7), SHAPE))
    for view in views:
        truth = (in_mv(view * deviation + mean) - mean) / deviation
        np.testing.assert_allclose(view, truth, atol=1e-5)
    with pytest.raises(RecipeError, match="3KG with dependency 'none'"):
        ThreeKg(dependency="none").apply(scores, None)


def test_masked_and_unrelated_limb_leads_are_left_alone(standardized):
    scores = standardized[0].copy()
    scores[2] = 0.0
    scores[3] = np.random.default_rng(99).normal(size=SHAPE[1])
    rng_of = np.random.default_rng
    own = EmgNoise(dependency="none")(scores, rng_of(1))
    disturbed = EmgNoise()(scores, rng_of(1))
    assert not disturbed[2].any()
    np.testing.assert_array_equal(disturbed[3], own[3])
    assert (disturbed[4:6] != own[4:6]).any(axis=1).all()


def test_powerline_is_one_sine_of_the_drawn_size():
    augmentation = PowerlineNoise(min_amplitude=0.3, max_amplitude=0.3, dependency="none")
    seen = set()
    for seed in range(12):
        drawn = augmentation.draw(np.random.default_rng(seed), SHAPE)
        added = augmentation.apply(np.zeros(SHAPE, np.float32), drawn)
        spectrum = np.abs(np.fft.rfft(added[0])) / (SHAPE[1] / 2)
        peak = int(spectrum.argmax())
        assert peak / 5 == drawn.frequency_hz
        assert spectrum[peak] == pytest.approx(0.3, abs=1e-3)
        assert (added == added[0]).all()
        seen.add(drawn.frequency_hz)
    assert seen == {50.0, 60.0}


def test_emg_has_an_amplitude_for_every_lead():
    augmentation = EmgNoise(dependency="none")
    drawn = augmentation.draw(np.random.default_rng(0), SHAPE)
    added = augmentation.apply(np.zeros(SHAPE), drawn)
    np.testing.assert_allclose(added.std(axis=1), drawn.amplitudes[:, 0], rtol=0.06)
    assert np.ptp(drawn.amplitudes) > 0.05


def test_baseline_shift_moves_by_the_amplitude_and_the_reference_does_not():
    sizes = {}
    for form in ("sound", "reference"):
        augmentation = BaselineShift(form=form, num_segments=2, dependency="none")
        drawn = augmentation.draw(np.random.default_rng(2), SHAPE)
        added = augmentation.apply(np.zeros(SHAPE), drawn)
        sizes[form] = np.abs(added).max()
        inside = np.zeros(SHAPE[1], dtype=bool)
        for start, end in drawn.stretches:
            assert 0 <= start < end <= SHAPE[1]
            inside[start:end] = True
        assert (added[:, inside] != 0).all()
        assert not added[:, ~inside].any()
    assert sizes["sound"] <= 0.2
    assert sizes["reference"] > 0.9
    with pytest.raises(RecipeError, match="baseline shift form"):
        BaselineShift(form="x")(np.zeros(SHAPE), np.random.default_rng(0))
    long = BaselineShift(shift_ratio=5.0)
    assert long.draw(np.random.default_rng(0), SHAPE).stretches == ((0, 2500),)


def test_baseline_wander_is_the_weighted_sum_of_slow_sines():
    augmentation = BaselineWander(dependency="none", num_sines=2)
    drawn = augmentation.draw(np.random.default_rng(4), SHAPE)
    assert ((drawn.frequencies_hz >= 0.01) & (drawn.frequencies_hz <= 0.2)).all()
    wanted = np.zeros(SHAPE)
    for k in range(2):
        turns = 2 * np.pi * drawn.frequencies_hz[k] * np.arange(SHAPE[1]) / 500
        wanted += drawn.weights * drawn.amplitudes[k] * np.cos(turns + drawn.phases[k])
    added = augmentation.apply(np.zeros(SHAPE), drawn)
    np.testing.assert_allclose(added, wanted, atol=1e-6)


def test_lead_masking_masks_whole_leads_at_the_stated_rate(signal):
    rng = np.random.default_rng(0)
    augmentation = RandomLeadMasking(mask_probability=0.25)
    kept = np.array([augmentation.draw(rng, SHAPE).is_kept for _ in range(500)])
    np.testing.assert_allclose(kept.mean(axis=0), 0.75, atol=0.07)
    drawn = augmentation.draw(rng, SHAPE)
    masked = augmentation.apply(signal, drawn)
    np.testing.assert_array_equal(masked[drawn.is_kept], signal[drawn.is_kept])
    assert not masked[~drawn.is_kept].any()
    assert augmentation(signal[:2], rng).shape == (2, 2500)


def test_conditional_masking_counts_limb_and_chest_leads():
    rng = np.random.default_rng(0)
    augmentation = RandomLeadMasking(selection="conditional", condition=(4, 5))
    kept = np.array([augmentation.draw(rng, SHAPE).is_kept for _ in range(200)])
    assert (kept[:, :6].sum(axis=1) == 2).all()
    assert (kept[:, 6:].sum(axis=1) == 1).all()
    assert kept.any(axis=0).all()
    with pytest.raises(RecipeError, match="8 leads"):
        augmentation.draw(rng, (8, 10))
    with pytest.raises(RecipeError, match="lead selection"):
        RandomLeadMasking(selection="x").draw(rng, SHAPE)


def test_three_kg_equals_its_slow_form(signal):
    augmentation = ThreeKg(mask_ratio=0.3)
    drawn = augmentation.draw(np.random.default_rng(7), SHAPE)
    assert np.abs(drawn.angles_deg).max() <= 45
    assert ((drawn.scales >= 1) & (drawn.scales <= 1.5)).all()
    views = augmentation.apply(signal, drawn)
    rows = [CANONICAL_LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    for view in range(2):
        turn = Rotation.from_euler("zyx", drawn.angles_deg[view], degrees=True).as_matrix()
        np.testing.assert_allclose(rotation(drawn.angles_deg[view]), turn, atol=1e-12)
        vector = np.diag(drawn.scales[view]) @ turn @ INVERSE_DOWER @ signal[rows]
        wanted = np.linalg.pinv(INVERSE_DOWER) @ vector
        for row, lead in enumerate(rows):
            start = drawn.mask_starts[view, lead]
            masked = {(start + step) % SHAPE[1] for step in range(int(SHAPE[1] * 0.3))}
            column = wanted[row].copy()
            column[sorted(masked)] = 0
            np.testing.assert_allclose(views[view, lead], column, atol=1e-9)
    with pytest.raises(RecipeError, match="12 leads"):
        augmentation.apply(signal[:8], drawn)


def test_three_kg_without_turn_stretch_and_mask_is_a_projection(signal):
    still = ThreeKg(max_angle_deg=0.0, max_scale=1.0, mask_ratio=0.0)
    once = still.apply(signal, still.draw(np.random.default_rng(0), SHAPE))
    np.testing.assert_allclose(once[0], once[1])
    # What three directions can tell is kept: projecting again changes nothing.
    twice = still.apply(once[0], still.draw(np.random.default_rng(0), SHAPE))
    np.testing.assert_allclose(twice[0], once[0], atol=1e-9)


def test_chain_equals_its_links_one_by_one_and_views_differ(signal):
    names = tuple(AUGMENTATIONS)
    chain = chain_of(names, [0.7], max_amplitude=0.2, fs_hz=250.0)
    rng = np.random.default_rng(9)
    wanted = signal
    for link in chain.links:
        assert link.probability == 0.7
        wanted = link(wanted, rng)
    np.testing.assert_array_equal(chain(signal, np.random.default_rng(9)), wanted)
    assert chain.links[0].fs_hz == 250.0
    views = TwoViews(chain)
    pair = views.apply(signal, views.draw(np.random.default_rng(9), SHAPE))
    assert pair.shape == (2, *SHAPE)
    np.testing.assert_array_equal(pair[0], wanted)
    assert (pair[0] != pair[1]).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("hum",), [1.0]), "unknown augmentation 'hum'"),
        ((("emg_noise", "powerline_noise"), [0.1, 0.2, 0.3]), "3 probabilities for 2"),
    ],
)
def test_wrong_chains_are_refused(arguments, message):
    with pytest.raises(RecipeError, match=message):
        chain_of(*arguments)


def test_unknown_options_and_foreign_parameters_are_refused(signal):
    with pytest.raises(RecipeError, match="loudness"):
        chain_of(("emg_noise",), [1.0], loudness=3)
    with pytest.raises(RecipeError, match="loudness"):
        augmentation_of("emg_noise", loudness=3)
    short, long = chain_of(("emg_noise",), [1.0]), chain_of(("emg_noise",) * 2, [1.0])
    with pytest.raises(RecipeError, match="parameters for 1"):
        long.apply(signal, short.draw(np.random.default_rng(0), SHAPE))
