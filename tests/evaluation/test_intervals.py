"""Bootstrap by patient: against the slow definition and against known spreads."""

import numpy as np
import pytest

from ecg_fairseq.evaluation.intervals import bootstrap_interval


def slow_interval(values, patient_ids, num_resamples, seed):
    """The definition, one draw at a time, with the same random numbers."""
    names = sorted({name for members in patient_ids for name in members})
    draws = np.random.default_rng(seed).integers(0, len(names), size=(num_resamples, len(names)))
    means = []
    for draw in draws:
        counts = {name: int((draw == number).sum()) for number, name in enumerate(names)}
        weights = [np.prod([counts[name] for name in set(members)]) for members in patient_ids]
        if sum(weights):
            means.append(np.average(values, weights=weights))
    return tuple(np.quantile(means, [0.025, 0.975]))


def test_equals_the_slow_definition():
    generator = np.random.default_rng(3)
    values = generator.integers(0, 2, 60).astype(float)
    patients = [[f"p{a}", f"p{b}"] for a, b in generator.integers(0, 12, (60, 2))]
    fast = bootstrap_interval(values, patients, num_resamples=150, seed=9)
    assert fast == pytest.approx(slow_interval(values, patients, 150, 9), abs=1e-12)


def test_blocks_do_not_change_the_result(monkeypatch):
    generator = np.random.default_rng(3)
    values = generator.random(50)
    patients = [[f"p{i // 5}"] for i in range(50)]
    whole = bootstrap_interval(values, patients, num_resamples=100)
    monkeypatch.setattr("ecg_fairseq.evaluation.intervals._DRAWS_PER_BLOCK", 30)
    assert bootstrap_interval(values, patients, num_resamples=100) == whole


def test_patients_count_not_questions():
    # 20 patients whose 50 questions agree: as uncertain as 20 questions, not as 1000.
    values = np.repeat(np.arange(20) % 2, 50).astype(float)
    patients = [[f"p{i // 50}"] for i in range(1000)]
    low, high = bootstrap_interval(values, patients)
    assert high - low == pytest.approx(4 * np.sqrt(0.25 / 20), rel=0.15)
    single = [[f"q{i}"] for i in range(1000)]
    low, high = bootstrap_interval(values, single)
    assert high - low == pytest.approx(4 * np.sqrt(0.25 / 1000), rel=0.15)


def test_coverage_is_near_the_level():
    covered = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        rates = generator.beta(2, 2, 80)
        values = (generator.random((80, 4)) < rates[:, None]).astype(float).ravel()
        patients = [[f"p{i // 4}"] for i in range(320)]
        low, high = bootstrap_interval(values, patients, num_resamples=300, seed=seed)
        covered += low <= 0.5 <= high
    assert 88 <= covered <= 99


def test_edges():
    assert all(np.isnan(bootstrap_interval(np.array([np.nan]), [["a"]])))
    # Of one patient the spread is unknown, not zero; the question without an answer is left out.
    one_patient = bootstrap_interval(np.array([1.0, 0.0, np.nan]), [["a"], ["a"], ["b"]])
    assert all(np.isnan(one_patient))
    same_two = bootstrap_interval(np.array([1.0, 0.0]), [["a", "b"], ["b", "a"]])
    assert all(np.isnan(same_two))
    with pytest.raises(ValueError, match="at least one patient"):
        bootstrap_interval(np.array([1.0]), [[]])
    with pytest.raises(ValueError, match="do not fit"):
        bootstrap_interval(np.array([1.0]), [])
