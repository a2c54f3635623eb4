"""Intervals of AUROC: what they hold in simulated results, and where there is none."""

from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from ecg_fairseq.evaluation.labels.auroc_bootstrap import LabelProblem, drawn_interval
from ecg_fairseq.evaluation.labels.auroc_intervals import LabelInfluences, auroc_intervals
from ecg_fairseq.evaluation.labels.auroc_table import difference_table, label_table
from ecg_fairseq.evaluation.labels.clustered_delong import model_variance
from ecg_fairseq.evaluation.labels.weighted_auroc import Ranking

pytest.importorskip("sklearn")

NUM_RESULTS = 300
TRUTH = 0.9


def simulated(
    seed: int, positives: tuple[int, ...], records: int, positive_records: int, patients: int = 150
) -> LabelProblem:
    """A result with a label for each number of positive patients, all of AUROC ``TRUTH``."""
    generator = np.random.default_rng(seed)
    shape = patients, records, len(positives)
    scores = generator.standard_normal((patients, 1, len(positives)))
    scores = 0.5**0.5 * scores + 0.5**0.5 * generator.standard_normal(shape)
    labels = np.zeros(shape)
    for k, number in enumerate(positives):
        labels[generator.permutation(patients)[:number], :positive_records, k] = 1
    scores += 2**0.5 * ndtri(TRUTH) * labels
    flat = patients * records, len(positives)
    numbers = np.repeat(np.arange(patients), records)
    return LabelProblem(scores.reshape(1, *flat), labels.reshape(flat), numbers)


def bounds_of(problem: LabelProblem) -> tuple[np.ndarray, np.ndarray]:
    once = np.ones((problem.num_patients, 1))
    values = problem.auroc_auprc(once).mean(axis=0)[:, 0, 0]
    return auroc_intervals(LabelInfluences.of(problem), values, 0.95, is_difference=False)


@pytest.mark.parametrize(("records", "positive_records"), [(1, 1), (3, 3), (3, 1)])
def test_intervals_hold_the_truth_as_often_as_they_say(records: int, positive_records: int) -> None:
    held = np.zeros(4)
    for seed in range(5000, 5000 + NUM_RESULTS):
        low, high = bounds_of(simulated(seed, (10, 20, 50), records, positive_records))
        held += ((low <= TRUTH) & (high >= TRUTH))[:4]
    # Each label and macro; percentiles of 300 draws held the truth of 10 patients in 0.71 to 0.90.
    assert (held / NUM_RESULTS >= 0.92).all(), held / NUM_RESULTS
    assert (held / NUM_RESULTS <= 0.985).all(), held / NUM_RESULTS


def table_rows(problem: LabelProblem) -> dict[str, Any]:
    num, num_labels = problem.labels.shape
    return {
        "labels": problem.labels,
        "recording_ids": [f"r{i}" for i in range(num)],
        "patient_ids": [f"p{i}" for i in problem.patients],
        "label_names": [f"label{k}" for k in range(num_labels)],
    }


def test_paired_differences_hold_zero() -> None:
    held = np.zeros(4)
    for seed in range(120):
        problem = simulated(seed, (10, 20, 50), 2, 2)
        generator = np.random.default_rng(1000 + seed)
        one, other = (
            problem.scores[0] + generator.standard_normal(problem.labels.shape) for _ in range(2)
        )
        table = difference_table(one, other, **table_rows(problem), num_resamples=2)
        held += [row.auroc_low <= 0 <= row.auroc_high for row in table.rows[:4]]
    assert (held >= 0.9 * 120).all(), held


def test_one_patient_has_no_interval() -> None:
    problem = simulated(0, (10, 20), 1, 1)
    rows = {**table_rows(problem), "patient_ids": ["p"] * 150}
    table = label_table(problem.scores[0], **rows, num_resamples=20)
    for row in table.rows:
        assert np.isfinite([row.auroc, row.auprc]).all()
        assert np.isnan([row.auroc_low, row.auroc_high, row.auprc_low, row.auprc_high]).all()


def test_a_label_that_is_never_wrong_is_not_certain() -> None:
    problem = simulated(0, (10, 30), 1, 1)
    scores = problem.scores[0].copy()
    scores[:, 0] = problem.labels[:, 0] * 9 + np.linspace(0, 1, 150)
    table = label_table(scores, **table_rows(problem), num_resamples=50)
    first = table.labels[0]
    assert (first.auroc, first.auroc_high, first.auprc_high) == (1.0, 1.0, 1.0)
    assert 0.8 < first.auroc_low < 0.99
    assert 0.5 < first.auprc_low < 0.99
    flipped = label_table(-scores, **table_rows(problem), num_resamples=2).labels[0]
    assert (flipped.auroc, flipped.auroc_low) == (0.0, 0.0)
    assert flipped.auroc_high == pytest.approx(1 - first.auroc_low)


def test_rare_labels_count_in_macro_and_are_named() -> None:
    problem = simulated(3, (1, 4, 40), 1, 1)
    table = label_table(problem.scores[0], **table_rows(problem), num_resamples=200)
    assert [row.positive_patients for row in table.labels] == [1, 4, 40]
    assert [row.label for row in table.rare] == ["label0", "label1"]
    assert "label1 (4 with, 146 without)" in table.caption()
    assert "| label1 (rare) |" in table.to_markdown()
    assert "| label2 |" in table.to_markdown()
    assert np.isnan(table.labels[0].auroc_low)
    alone = label_table(
        problem.scores[0][:, 2:],
        **{**table_rows(problem), "labels": problem.labels[:, 2:], "label_names": ["label2"]},
        num_resamples=200,
    )
    # Two of three labels are hardly known: macro is less sure than the third by itself.
    width = table.macro.auroc_high - table.macro.auroc_low
    assert width > 1.2 * (alone.macro.auroc_high - alone.macro.auroc_low)
    assert alone.macro.auroc_low == pytest.approx(alone.labels[0].auroc_low, abs=0.01)


def test_no_draw_loses_a_label() -> None:
    problem = simulated(3, (1, 4, 40), 1, 1)
    draws = problem.resampled(300, seed=1)
    assert np.isfinite(draws).all()
    assert draws[3] == pytest.approx(draws[:3].mean(axis=0))


def test_placements_mean_the_auroc_and_count_ties_half() -> None:
    ranking = Ranking.of(np.array([1.0, 0, 1, 0, np.nan]), np.array([3.0, 3, 1, 0, 9]))
    found = dict(zip(ranking.rows.tolist(), ranking.placements().tolist(), strict=True))
    # Positive rows beat 1.5 and 1 of two negatives; negatives lose to 0.5 and 2 of two.
    assert found == {0: 0.75, 2: 0.5, 1: 0.25, 3: 1.0}
    assert np.isnan(Ranking.of(np.ones(3), np.arange(3.0)).placements()).all()


def test_the_models_variance_is_that_of_two_normal_distributions() -> None:
    generator = np.random.default_rng(0)
    for auroc in (0.5, 0.8, 0.97):
        placements = ndtr(generator.standard_normal(400_000) + 2**0.5 * ndtri(auroc))
        assert model_variance(auroc) == pytest.approx(placements.var(), rel=0.02)
    assert model_variance(0.2) == pytest.approx(model_variance(0.8))


def test_the_interval_of_draws_is_wide_where_few_patients_are_positive() -> None:
    draws = np.random.default_rng(0).normal(0.5, 0.05, 4000)
    few, many = (drawn_interval(0.5, draws, number, 0.95) for number in (3, 300))
    assert many == pytest.approx((0.403, 0.597), abs=0.01)
    assert few[1] - few[0] > 1.8 * (many[1] - many[0])
