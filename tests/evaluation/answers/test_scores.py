"""The figures of a result on cases small enough to count by hand."""

import json

import numpy as np
import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.majority_floor import (
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
    blind = blind_of(answers, make_prediction, ["no", "yes", "no", "v1"])[::-1]
    scores = score_predictions(answers, blind, num_resamples=50)
    assert scores["blind_exact_match"] == pytest.approx(2 / 4)
    assert (scores["n_blind"], scores["blind_dropped"]) == (4, 2)
    assert scores["per_question_type"]["single-verify"]["blind"] == pytest.approx(2 / 3)
    assert any("left out of the blind score" in note for note in scores["warnings"])
    assert "blind" in format_scores(scores)


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
