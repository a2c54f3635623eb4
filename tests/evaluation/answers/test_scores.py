"""The figures of a result on cases small enough to count by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.blind import blind_partners
from ecg_fairseq.evaluation.answers.majority_floor import (
    by_wording,
    closed_set_hits,
    majority_answers,
    majority_hits,
)
from ecg_fairseq.evaluation.answers.predictions import Candidate
from ecg_fairseq.evaluation.answers.score_table import format_scores
from ecg_fairseq.evaluation.answers.scores import score_predictions


@pytest.fixture
def answers(make_prediction):
    def one(number, answer, reference, **more):
        return make_prediction(number, answer, reference, patients=(f"p{number}",), **more)

    query = {"kind": "single-query", "template": 9, "options": ("v1", "v2", "none")}
    return [
        one(0, "Yes.", "yes"),
        one(1, "no", "yes"),
        one(2, "no", "no"),
        one(3, "v2; v1", "v1; v2", **query),
        one(4, "I see v1", "v1", **query),
        one(5, "", "none", **query),
    ]


def test_shares_by_hand(answers):
    scores = score_predictions(answers, num_resamples=50)
    assert scores["exact_match"] == pytest.approx(3 / 6)
    # Template 1: yes (2 of 3). Template 9: three answers once each, the first in the alphabet.
    assert scores["majority_exact_match"] == pytest.approx(3 / 6)
    assert scores["blind_exact_match"] is None
    assert scores["blind_dropped"] is None
    assert scores["n_test"] == scores["n_patients"] == 6
    verify = scores["per_question_type"]["single-verify"]
    assert (verify["n"], verify["exact_match"], verify["majority"]) == (3, 2 / 3, 2 / 3)
    assert verify["closed_set"] is None
    query = scores["per_question_type"]["single-query"]
    assert query["closed_set"] == pytest.approx(2 / 3)
    assert scores["closed_set_accuracy"] == pytest.approx(2 / 3)
    assert scores["n_closed_set"] == 3
    assert scores["per_template"]["9"]["majority_answer"] == "none"
    low, high = scores["intervals"]["exact_match"]
    assert low <= scores["exact_match"] <= high
    json.dumps(scores, allow_nan=False)


def test_closed_set_takes_the_best_candidate(make_prediction):
    def one(reference, *scores, kind="single-verify", **more):
        offered = tuple(
            Candidate(t, s) for t, s in zip(("no", "yes", "V1; V2"), scores, strict=False)
        )
        return make_prediction(0, "blah", reference, kind=kind, closed_set=offered, **more)

    hits = closed_set_hits(
        [
            one("yes", -2.0, -1.0),
            one("yes", -1.0, -1.0),
            one("v2; v1", -2.0, -3.0, -1.0, kind="single-choose"),
            one("yes", kind="single-choose"),
            one("x", kind="single-query"),
            one("none", kind="comparison_consecutive-query", options=("none",)),
        ]
    )
    assert np.array_equal(hits, [1, 0, 1, np.nan, np.nan, 0], equal_nan=True)


def test_majority_counts_sets_and_breaks_ties_by_alphabet(make_prediction):
    rows = [("b; a", 1), ("a; b", 1), ("c", 1), ("z", 2), ("y", 2)]
    answers = [make_prediction(i, "", text, template=t) for i, (text, t) in enumerate(rows)]
    assert majority_answers(answers) == {1: "a; b", 2: "y"}
    assert majority_hits(answers).tolist() == [1, 1, 0, 0, 1]


def blind_of(answers, make_prediction, texts):
    return [
        make_prediction(
            int(a.id[1:]), text, a.reference, patients=("other",), template=a.template_id
        )
        for a, text in zip(answers, texts, strict=False)
    ]


def test_blind_run_is_paired_by_id(answers, make_prediction):
    # The last two are alone in their templates: there is no other ECG for them.
    alone = [replace(a, template_id=20 + place) for place, a in enumerate(answers[4:])]
    answers = [*answers[:3], replace(answers[3], template_id=1), *alone]
    blind = blind_of(answers, make_prediction, ["no", "yes", "no", "v1"])[::-1]
    scores = score_predictions(answers, blind, num_resamples=50)
    assert scores["blind_exact_match"] == pytest.approx(2 / 4)
    assert (scores["n_blind"], scores["blind_dropped"]) == (4, 2)
    assert scores["per_question_type"]["single-verify"]["blind"] == pytest.approx(2 / 3)
    assert any("2 questions are left out of the blind score" in note for note in scores["warnings"])
    assert "blind" in format_scores(scores)


def test_a_blind_run_that_was_cut_off_is_refused(answers, make_prediction):
    blind = blind_of(answers, make_prediction, ["no", "yes", "no", "v1", "v1", "v1"])
    assert score_predictions(answers, blind, num_resamples=5)["n_blind"] == 6
    with pytest.raises(ScoreError, match=r"answers 5 of the 6 questions .*'q3' is missing"):
        score_predictions(answers, blind[:3] + blind[4:], num_resamples=5)


def test_a_blind_run_that_sees_the_recording_is_refused(answers):
    cheat = replace(answers[0], patient_ids=("another",))
    with pytest.raises(ScoreError, match="own recording 'record-of-p0'"):
        score_predictions(answers, [cheat])


def test_a_blind_run_that_sees_the_patient_is_refused(answers, make_prediction):
    cheat = make_prediction(0, "yes", "yes", patients=("x", "p0"))
    with pytest.raises(ScoreError, match="patient 'p0'"):
        score_predictions(answers, [cheat])
    stranger = make_prediction(77, "yes", "yes", patients=("x",))
    with pytest.raises(ScoreError, match="'q77'"):
        score_predictions(answers, [stranger])
    other = make_prediction(0, "yes", "no", patients=("x",))
    with pytest.raises(ScoreError, match="same manifest"):
        score_predictions(answers, [other])


def test_nothing_to_score_is_an_error():
    with pytest.raises(ScoreError, match="no answers"):
        score_predictions([])


def test_good_results_on_many_patients_carry_no_warning(make_prediction):
    answers = [
        make_prediction(i, "yes" if i % 2 else "no", "yes" if i % 2 else "no", (f"p{i // 2}",))
        for i in range(400)
    ]
    blind = blind_of(answers, make_prediction, ["yes"] * 400)
    scores = score_predictions(answers, blind, num_resamples=100)
    assert scores["warnings"] == []
    assert scores["intervals"]["exact_match_minus_majority"] == [0.5, 0.5]


def slow_majority(predictions, weights, keys):
    """The share of the most frequent answers of questions alike, one draw, by the definition."""
    right = 0.0
    for key in set(keys):
        counts = {}
        for prediction, weight, own in zip(predictions, weights, keys, strict=True):
            if own == key:
                counts[prediction.reference] = counts.get(prediction.reference, 0.0) + weight
        right += max(counts.values())
    return right / sum(weights)


def many_answers(make_prediction, num=90, wordings=4):
    chooser = np.random.default_rng(3)
    return [
        replace(
            make_prediction(
                i, chooser.choice(["yes", "no"]), chooser.choice(["yes", "no", "v1"]),
                patients=(f"p{i // 3}",), template=i % 3,
            ),
            question=f"wording {chooser.integers(wordings)}?",
        )
        for i in range(num)
    ]  # fmt: skip


def test_majority_floors_are_found_anew_in_every_draw(make_prediction):
    answers = many_answers(make_prediction)
    scores = score_predictions(answers, num_resamples=80, seed=4)
    names = sorted({p.patient_ids[0] for p in answers})
    draws = np.random.default_rng(4).integers(0, len(names), size=(80, len(names)))
    exact = np.array([p.answer == p.reference for p in answers], dtype=float)
    by = {
        "majority": [p.template_id for p in answers],
        "majority_by_wording": [(p.template_id, p.question) for p in answers],
    }
    for name, keys in by.items():
        floors, gains = [], []
        for draw in draws:
            weights = [float((draw == names.index(p.patient_ids[0])).sum()) for p in answers]
            floors.append(slow_majority(answers, weights, keys))
            gains.append(np.average(exact, weights=weights) - floors[-1])
        figure = slow_majority(answers, [1.0] * len(answers), keys)
        assert scores[f"{name}_exact_match"] == pytest.approx(figure)
        for key, found, value in (
            (f"{name}_exact_match", floors, figure),
            (f"exact_match_minus_{name}", gains, exact.mean() - figure),
        ):
            low, high = np.quantile(found, [0.025, 0.975])
            # Widened to hold the figure: the floor of a draw profits from chance once more.
            wanted = [min(low, value), max(high, value)]
            assert scores["intervals"][key] == pytest.approx(wanted, abs=1e-12)
    low, _ = scores["intervals"]["majority_exact_match"]
    assert low >= 1 / 3


def test_wordings_asked_once_share_their_templates_answer(make_prediction):
    rows = [("a?", "yes"), ("a?", "yes"), ("A? ", "no"), ("b?", "no"), ("c?", "no"), ("d?", "yes")]
    answers = [
        replace(make_prediction(i, "", answer, (f"p{i}",)), question=text)
        for i, (text, answer) in enumerate(rows)
    ]
    assert majority_hits(answers, by_wording).tolist() == [1, 1, 0, 1, 1, 0]
    assert majority_hits(answers).tolist() == [0, 0, 1, 1, 1, 0]


def test_the_corrected_blind_floor_is_that_of_an_ecg_of_the_whole_template(
    make_question, make_prediction
):
    # Five times yes, five times no, ten patients: another patient's ECG agrees in 4 of 9.
    questions = [make_question(i, (f"p{i}",), answer=["yes" if i % 2 else "no"]) for i in range(10)]
    sighted = [
        make_prediction(i, q.answer[0], q.answer[0], (f"p{i}",)) for i, q in enumerate(questions)
    ]
    raw, corrected = [], []
    for seed in range(300):
        blind = [
            make_prediction(i, questions[p].answer[0], q.answer[0], (f"p{p}",))
            for i, (q, p) in enumerate(zip(questions, blind_partners(questions, seed), strict=True))
        ]
        scores = score_predictions(sighted, blind, num_resamples=1)
        raw.append(scores["blind_exact_match"])
        corrected.append(scores["blind_corrected_exact_match"])
        assert corrected[-1] == pytest.approx(0.9 * raw[-1] + 0.1)
    assert np.mean(raw) == pytest.approx(4 / 9, abs=0.02)
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.02)


def test_one_patient_has_no_intervals(make_prediction):
    answers = [make_prediction(i, "yes", "yes" if i % 2 else "no") for i in range(6)]
    scores = score_predictions(answers, num_resamples=20)
    named = {key: value for key, value in scores["intervals"].items() if "exact_match" in key}
    assert named
    assert set(named.values()) == {None}
    assert any("no intervals" in note for note in scores["warnings"])
    assert "0.500" in format_scores(scores)


def test_answers_beside_their_options_are_counted(make_prediction):
    offered = {"options": ("v1", "v2; v3")}
    answers = [
        make_prediction(0, "V1.", "v1", **offered),
        make_prediction(1, "v3; v1", "none", **offered),
        make_prediction(2, "v9", "v1; v2", **offered),
        make_prediction(3, "none", "v7", **offered),
        make_prediction(4, "anything", "at all"),
    ]
    scores = score_predictions(answers, num_resamples=5)
    assert (scores["n_not_offered"], scores["n_references_not_offered"]) == (1, 1)
    assert sum("among the options" in note for note in scores["warnings"]) == 2


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_closed_sets_without_a_finite_score_are_refused(make_prediction, score):
    with pytest.raises(ScoreError, match=r"'q3': a closed-set candidate has the score"):
        make_prediction(3, "yes", "yes", closed_set=(Candidate("yes", score),))


@pytest.mark.parametrize(
    ("share", "where"), [(0.0, "below"), (0.55, "not clearly above"), (1.0, None)]
)
def test_each_floor_that_is_not_beaten_is_named_with_its_interval(make_prediction, share, where):
    def one(number, text):
        reference = "yes" if number % 2 else "no"
        return make_prediction(number, text or reference, reference, patients=(f"p{number // 2}",))

    # Wrong answers are no option; always yes is right in half of the questions.
    answers = [one(i, None if i % 20 < 20 * share else "maybe") for i in range(400)]
    blind = [replace(one(i, "yes"), patient_ids=("x",), record_ids=("x",)) for i in range(400)]
    scores = score_predictions(answers, blind, num_resamples=200)
    notes = [note for note in scores["warnings"] if "floor" in note]
    floors = {
        "majority floor": "majority",
        "majority floor by wording": "majority_by_wording",
        "blind floor": "blind",
        "corrected blind floor": "blind_corrected",
    }
    if where is None:
        assert notes == []
        return
    expected = []
    for name, key in floors.items():
        low, high = scores["intervals"][f"exact_match_minus_{key}"]
        gain = scores["exact_match"] - scores[f"{key}_exact_match"]
        expected.append(
            f"The exact match is {where} the {name}: the difference is {gain:+.3f}, its interval "
            f"{low:+.3f} to {high:+.3f}."
        )
    assert notes == expected
