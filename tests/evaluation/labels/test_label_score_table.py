"""Tables with intervals: areas against scikit-learn, spreads against slow definitions."""

import csv
import io
import json
import time
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.labels import auroc_bootstrap as label_bootstrap
from ecg_fairseq.evaluation.labels.auroc import label_scores
from ecg_fairseq.evaluation.labels.auroc_bootstrap import LabelProblem
from ecg_fairseq.evaluation.labels.auroc_intervals import LabelInfluences
from ecg_fairseq.evaluation.labels.auroc_table import LabelTable, difference_table, label_table
from ecg_fairseq.evaluation.labels.clustered_delong import AurocVariance
from ecg_fairseq.evaluation.labels.weighted_auroc import Ranking

pytest.importorskip("sklearn")

NAMES = ("AF", "CLBBB|LBBB", "NORM")


def cohort(num: int = 90, seed: int = 0, gain: float = 1.0) -> dict[str, Any]:
    """Recordings of a third as many patients; rounded scores, so that there are ties."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((num, 3)) < [0.5, 0.2, 0.35]).astype(float)
    scores = np.round(generator.standard_normal((num, 3)) + gain * labels, 1)
    return {
        "scores": scores,
        "labels": labels,
        "recording_ids": [f"r{i}" for i in range(num)],
        "patient_ids": [f"p{i % (num // 3)}" for i in range(num)],
        "label_names": NAMES,
    }


def slow_areas(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(5, 2): each label, macro, micro by scikit-learn with weights, label by label."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    def both(truth: np.ndarray, score: np.ndarray, weight: np.ndarray) -> list[float]:
        kept = (weight > 0) & ~np.isnan(truth)
        truth, score, weight = truth[kept], score[kept], weight[kept]
        if truth.all() or not truth.any():
            return [np.nan, np.nan]
        return [
            roc_auc_score(truth, score, sample_weight=weight),
            average_precision_score(truth, score, sample_weight=weight),
        ]

    each = np.array([both(labels[:, k], scores[:, k], weights) for k in range(labels.shape[1])])
    micro = both(labels.ravel(), scores.ravel(), np.repeat(weights, labels.shape[1]))
    return np.vstack([each, np.nanmean(each, axis=0), micro])


def slow_draws(data: dict[str, Any], num_resamples: int, seed: int) -> np.ndarray:
    """AUPRC by the definition, one draw at a time, with the same random numbers: (draws, 5)."""
    names = sorted(set(data["patient_ids"]))
    draws = np.random.default_rng(seed).standard_exponential((num_resamples, len(names)))
    found = []
    for draw in draws:
        shares = dict(zip(names, draw, strict=True))
        weights = np.array([shares[name] for name in data["patient_ids"]])
        found.append(slow_areas(data["labels"], data["scores"], weights)[:, 1])
    return np.stack(found)


def slow_variance(data: dict[str, Any], k: int) -> float:
    """Obuchowski's variance of a label's AUROC (1997, equations 4 to 7), pair by pair."""
    patients = np.array(data["patient_ids"])
    positive, negative = (np.flatnonzero(data["labels"][:, k] == value) for value in (1, 0))
    scores = data["scores"][:, k]
    wins = np.sign(scores[positive][:, None] - scores[negative][None]) / 2 + 0.5
    own, theirs, auroc = wins.mean(axis=1), wins.mean(axis=0), wins.mean()
    sums = np.array(
        [
            [
                (own[patients[positive] == name] - auroc).sum(),
                (theirs[patients[negative] == name] - auroc).sum(),
            ]
            for name in sorted(set(patients))
        ]
    )
    with_positive, with_negative, num = (
        len(set(patients[rows])) for rows in (positive, negative, slice(None))
    )
    m, n = len(positive), len(negative)
    s10 = with_positive / ((with_positive - 1) * m) * (sums[:, 0] ** 2).sum()
    s01 = with_negative / ((with_negative - 1) * n) * (sums[:, 1] ** 2).sum()
    s11 = num / (num - 1) * (sums[:, 0] * sums[:, 1]).sum()
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def figures(table: LabelTable, *names: str) -> np.ndarray:
    return np.array([[getattr(row, name) for name in names] for row in table.rows])


def test_ranking_counts_ties_half() -> None:
    ranking = Ranking.of(np.array([1.0, 0, 1, 0, np.nan]), np.array([3.0, 3, 1, 0, 9]))
    areas = ranking.by_patient(np.arange(4), 4).auroc_auprc(np.ones((4, 1)))
    # Pairs: (3, 3) half, (3, 0) right, (1, 3) wrong, (1, 0) right.
    assert areas[0][0] == pytest.approx(2.5 / 4)
    assert areas[1][0] == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 3)


def test_areas_equal_scikit_learn() -> None:
    data = cohort()
    table = label_table(**data, num_resamples=0)
    wanted = slow_areas(data["labels"], data["scores"], np.ones(90))
    assert figures(table, "auroc", "auprc") == pytest.approx(wanted, abs=1e-12)
    known = label_scores(data["labels"], data["scores"])
    assert table.macro.auroc == pytest.approx(known.auroc_macro, abs=1e-12)
    assert table.micro.auprc == pytest.approx(known.auprc_micro, abs=1e-12)
    assert [row.label for row in table.rows] == [*NAMES, "macro", "micro"]
    assert [row.positives for row in table.labels] == data["labels"].sum(0).tolist()
    assert np.isnan(figures(table, "auroc_low", "auprc_high", "auroc_sd")).all()


def test_auprc_intervals_are_of_the_draws_deviation() -> None:
    data = cohort()
    table = label_table(**data, num_resamples=60, seed=5)
    deviations = slow_draws(data, 60, 5).std(axis=0, ddof=1)
    for row, deviation in zip(table.rows, deviations, strict=True):
        quantile = stats.t.ppf(0.975, row.positive_patients - 1)
        half = quantile * deviation / (row.auprc * (1 - row.auprc))
        bounds = expit(logit(row.auprc) - half), expit(logit(row.auprc) + half)
        assert (row.auprc_low, row.auprc_high) == pytest.approx(bounds, abs=1e-9)


def test_auroc_variances_are_obuchowskis() -> None:
    data = cohort()
    scores, labels = data["scores"][None], data["labels"]
    problem = LabelProblem(scores, labels, label_bootstrap.numbers_of(data["patient_ids"]))
    influences = LabelInfluences.of(problem)
    for k in range(3):
        own = AurocVariance.of(influences.labels[k], influences.counts[k])
        assert own.total == pytest.approx(slow_variance(data, k), rel=1e-12)


def test_differences_are_of_the_same_patients() -> None:
    data, other = cohort(), cohort(gain=0.3, seed=0)
    assert np.array_equal(data["labels"], other["labels"])
    rest = {name: value for name, value in data.items() if name != "scores"}
    table = difference_table(data["scores"], other["scores"], **rest, num_resamples=50, seed=2)
    deviations = (slow_draws(data, 50, 2) - slow_draws(other, 50, 2)).std(axis=0, ddof=1)
    for row, deviation in zip(table.rows, deviations, strict=True):
        half = stats.t.ppf(0.975, row.positive_patients - 1) * deviation
        bounds = row.auprc - half, row.auprc + half
        assert (row.auprc_low, row.auprc_high) == pytest.approx(bounds, abs=1e-9)
        assert row.auroc_low < row.auroc < row.auroc_high
    ones = np.ones(90)
    wanted = slow_areas(data["labels"], data["scores"], ones) - slow_areas(
        other["labels"], other["scores"], ones
    )
    assert figures(table, "auroc", "auprc") == pytest.approx(wanted, abs=1e-12)
    assert table.is_difference
    assert "+0." in table.to_markdown()
    same = difference_table(data["scores"], data["scores"], **rest, num_resamples=20)
    assert figures(same, "auroc", "auroc_low", "auroc_high") == pytest.approx(np.zeros((5, 3)))


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = label_table(**cohort(), num_resamples=40)
    monkeypatch.setattr(label_bootstrap, "_CELLS_PER_BLOCK", 900)
    assert label_table(**cohort(), num_resamples=40).to_tsv() == whole.to_tsv()


def test_patients_count_not_recordings() -> None:
    data = cohort(300)
    by_patient = label_table(**data, num_resamples=200)
    ten_each = {**data, "patient_ids": [f"p{i % 10}" for i in range(300)]}
    # The same recordings, three or thirty to a patient, with nothing shared within patients.
    assert by_patient.num_patients == 100
    assert label_table(**ten_each, num_resamples=200).num_patients == 10
    copies = {
        **data,
        "scores": np.repeat(data["scores"], 5, axis=0),
        "labels": np.repeat(data["labels"], 5, axis=0),
        "recording_ids": [f"r{i}" for i in range(1500)],
        "patient_ids": [name for name in data["patient_ids"] for _ in range(5)],
    }
    copied = label_table(**copies, num_resamples=200)
    assert copied.macro.auroc_low == pytest.approx(by_patient.macro.auroc_low, abs=1e-9)


def test_segments_are_averaged_to_recordings_first() -> None:
    data = cohort()
    offsets = np.array([-2.0, 0.0, 2.0])[None, :, None]
    segments = {
        **data,
        "scores": (data["scores"][:, None] + offsets).reshape(-1, 3),
        "labels": np.repeat(data["labels"], 3, axis=0),
        "recording_ids": [name for name in data["recording_ids"] for _ in range(3)],
        "patient_ids": [name for name in data["patient_ids"] for _ in range(3)],
    }
    wanted = figures(label_table(**data, num_resamples=0), "auroc", "auprc")
    found = label_table(**segments, num_resamples=0)
    assert found.num_recordings == 90
    assert figures(found, "auroc", "auprc") == pytest.approx(wanted, abs=1e-9)
    spikes = segments["scores"].copy()
    spikes[::3, 0] -= 50 * np.arange(90)
    segments["scores"] = spikes
    by_maximum = label_table(**segments, num_resamples=0, max_labels=("AF",))
    assert by_maximum.labels[0].auroc == pytest.approx(wanted[0, 0])
    assert label_table(**segments, num_resamples=0).labels[0].auroc != pytest.approx(wanted[0, 0])


def test_labels_without_a_figure_are_said() -> None:
    data = cohort()
    data["labels"][:, 1] = 0
    table = label_table(**data, num_resamples=20)
    assert np.isnan(table.labels[1].auroc)
    assert table.unscored == ("CLBBB|LBBB",)
    assert table.macro.auroc == pytest.approx((table.labels[0].auroc + table.labels[2].auroc) / 2)
    assert "2 of 3 labels" in table.caption()
    assert "| CLBBB\\|LBBB | 90 | 0 | - | - |" in table.to_markdown()
    data["labels"][:] = 1
    nothing = label_table(**data, num_resamples=20)
    assert np.isnan(figures(nothing, "auroc", "auroc_low")).all()


def test_value_in_one_patient_alone_has_no_interval() -> None:
    data = cohort()
    data["labels"][:, 0] = 0
    data["labels"][[0, 30, 60], 0] = 1  # all of patient p0
    table = label_table(**data, num_resamples=50)
    assert np.isfinite(table.labels[0].auroc)
    assert np.isnan(table.labels[0].auroc_low)
    assert np.isfinite(table.labels[1].auroc_low)


def test_unlabelled_recordings_count_for_their_other_labels() -> None:
    data = cohort()
    data["labels"][::2, 0] = np.nan
    data["labels"][7] = np.nan
    table = label_table(**data, num_resamples=0)
    assert [row.n for row in table.rows] == [44, 89, 89, 89, 89]
    wanted = slow_areas(data["labels"], data["scores"], np.ones(90))
    assert figures(table, "auroc", "auprc") == pytest.approx(wanted, abs=1e-12)


def test_runs_are_averaged_and_a_run_may_lack_a_label() -> None:
    data = cohort()
    runs = np.stack([data["scores"], cohort(gain=0.2)["scores"], data["scores"]])
    runs[2, :, 1] = np.nan
    table = label_table(**{**data, "scores": runs}, num_resamples=30, seed=3)
    each = [label_table(**{**data, "scores": run}, num_resamples=30, seed=3) for run in runs[:2]]
    assert table.num_runs == 3
    assert table.labels[1].auroc == pytest.approx(
        np.mean([single.labels[1].auroc for single in each])
    )
    wanted = np.mean([each[0].labels[0].auroc] * 2 + [each[1].labels[0].auroc])
    assert table.labels[0].auroc == pytest.approx(wanted)
    assert table.labels[0].auroc_sd == pytest.approx(
        np.std([each[0].labels[0].auroc] * 2 + [each[1].labels[0].auroc], ddof=1)
    )
    assert table.unscored == ("CLBBB|LBBB",)
    assert "Mean over 3 runs" in table.caption()
    rest = {name: value for name, value in data.items() if name != "scores"}
    gap = difference_table(data["scores"], runs, **rest, num_resamples=20)
    assert np.isnan(gap.labels[1].auroc)
    assert np.isfinite(gap.macro.auroc)


def test_texts_can_be_read_back() -> None:
    table = label_table(**cohort(), num_resamples=20)
    rows = list(csv.DictReader(io.StringIO(table.to_tsv()), delimiter="\t"))
    assert [row["label"] for row in rows] == [*NAMES, "macro", "micro"]
    assert float(rows[0]["auroc_low"]) == pytest.approx(table.labels[0].auroc_low, abs=1e-6)
    assert rows[0]["auroc_sd"] == ""
    values = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert values["macro"]["auroc"] == table.macro.auroc
    assert values["labels"][1]["label"] == "CLBBB|LBBB"
    assert values["labels"][0]["auroc_sd"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label_names": ("a", "b")}, "must be"),
        ({"scores": np.zeros((89, 3))}, "must be"),
        ({"labels": np.zeros((90, 2))}, "must be"),
        ({"patient_ids": ["p"] * 89}, "89 patient ids"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ScoreError, match=message):
        label_table(**{**cohort(), **change})


def test_single_bad_score_is_refused() -> None:
    data = cohort()
    for bad in (np.nan, np.inf):
        scores = data["scores"].copy()
        scores[3, 1] = bad
        with pytest.raises(ScoreError, match="1 scores are not finite"):
            label_table(**{**data, "scores": scores})


def test_nothing_to_score_is_said() -> None:
    empty = {"scores": np.zeros((0, 3)), "labels": np.zeros((0, 3)), "recording_ids": []}
    with pytest.raises(ScoreError, match="nothing to score"):
        label_table(**empty, patient_ids=[], label_names=NAMES)


def test_a_thousand_draws_take_seconds() -> None:
    data = cohort(2000)
    start = time.perf_counter()
    label_table(**data, num_resamples=1000)
    assert time.perf_counter() - start < 10.0
