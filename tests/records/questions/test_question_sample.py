"""A seeded sample of questions: whole, ordered, and the same whatever else a side holds."""

import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.questions.sample import limit_questions, parse_limits


def _questions(count: int) -> list[Question]:
    return [
        Question(
            id=f"q{i}",
            question="Is it?",
            answer=["yes"],
            question_type="single-verify",
            record_ids=["r"],
            patient_ids=["p"],
        )
        for i in range(count)
    ]


def test_limits_are_read_and_wrong_ones_refused():
    assert parse_limits("valid=5,test=7") == {"valid": 5, "test": 7}
    assert parse_limits("") == {}
    for wrong in ("valid", "valid=0", "dev=3", "test=-1", "test=x"):
        with pytest.raises(ManifestError, match="SIDE=NUMBER"):
            parse_limits(wrong)


def test_a_sample_keeps_order_and_says_what_it_left_out():
    questions = {"train": _questions(30), "test": _questions(100)}
    kept, notes = limit_questions(questions, {"test": 20, "train": 50}, seed=1)
    assert kept["train"] == questions["train"]
    assert len(kept["test"]) == 20
    places = [questions["test"].index(question) for question in kept["test"]]
    assert places == sorted(places)
    assert notes == {"questions_sampled": {"test": {"kept": 20, "of": 100}}}
    assert limit_questions(questions, {"test": 20}, seed=1)[0]["test"] == kept["test"]
    assert limit_questions(questions, {"test": 20}, seed=2)[0]["test"] != kept["test"]


def test_growing_a_side_never_swaps_what_was_drawn_among_the_old():
    small = limit_questions({"test": _questions(50)}, {"test": 10}, seed=1)[0]["test"]
    large = limit_questions({"test": _questions(60)}, {"test": 10}, seed=1)[0]["test"]
    assert {q.id for q in large if int(q.id[1:]) < 50} <= {q.id for q in small}
