"""Reading fairseq-generate's log: order does not matter, damage is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.generate_log import predictions_from_log, read_generate_log
from ecg_fairseq.evaluation.answers.predictions import (
    Candidate,
    read_predictions,
    write_predictions,
)


@pytest.fixture
def questions(make_question):
    return [make_question(i, patients=(f"p{i}",), answer=[a]) for i, a in enumerate(["yes", "no"])]


def write(tmp_path, text):
    path = tmp_path / "generate-test.txt"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_items_are_joined_by_index_whatever_their_order(tmp_path, questions, log_text):
    items = [
        (1, "no", [(-0.5, "Yes\twith a\rtab"), (-1.5, "no"), (-0.25, "yes")]),
        (0, "yes", [(-0.1, "")]),
    ]
    first, second = predictions_from_log(write(tmp_path, log_text(items)), questions)
    assert (first.id, first.answer, first.reference) == ("q0", "", "yes")
    assert first.closed_set == ()
    assert second.answer == "Yes\twith a\rtab"
    assert second.closed_set == (Candidate("no", -1.5), Candidate("yes", -0.25))
    assert second.record_ids == ("record-of-p1",)
    assert second.options == ("no", "yes")


def test_windows_line_ends_do_not_matter(tmp_path, questions, log_text):
    text = log_text([(0, "yes", [(-1, "yes")]), (1, "no", [(-1, "no")])])
    path = tmp_path / "generate-test.txt"
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert [p.answer for p in predictions_from_log(path, questions)] == ["yes", "no"]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([(0, "yes", [(-1, "yes")])], "item 1 missing"),
        ([(i, "yes", [(-1, "yes")]) for i in (0, 1, 2)], "beyond the 2 questions"),
        ([(i, "yes", [(-1, "yes")]) for i in (0, 0, 1)], "answered twice"),
        ([(0, "no", [(-1, "yes")]), (1, "no", [(-1, "no")])], "reference of item 0"),
        ([(0, "yes", [(-1, "a"), ("nan", "a")]), (1, "no", [(-1, "no")])], "NaN"),
        ([(0, "yes", [("much", "yes")]), (1, "no", [(-1, "no")])], "damaged"),
    ],
)
def test_wrong_logs_are_refused(tmp_path, questions, log_text, items, message):
    with pytest.raises(ScoreError, match=message):
        predictions_from_log(write(tmp_path, log_text(items)), questions)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no lines"),
        ("just logging\n", "holds no lines"),
        ("T-0\tyes\n", "without an answer"),
        ("T-0\tyes\nD-0\t-0.5\n", "damaged"),
    ],
)
def test_empty_and_cut_logs_are_refused(tmp_path, text, message):
    with pytest.raises(ScoreError, match=message):
        read_generate_log(write(tmp_path, text))


def test_missing_log_is_explained(tmp_path):
    with pytest.raises(ScoreError, match="cannot be read"):
        read_generate_log(tmp_path / "absent.txt")


def test_blind_log_names_the_ecgs_shown(tmp_path, questions, log_text):
    path = write(tmp_path, log_text([(0, "yes", [(-1, "no")])]))
    (answer,) = predictions_from_log(path, questions, [questions[1], None])
    assert (answer.id, answer.reference) == ("q0", "yes")
    assert answer.patient_ids == ("p1",)
    assert answer.record_ids == ("record-of-p1",)


TEXT = st.text(st.characters(blacklist_categories=("Cs",)))


@given(TEXT, TEXT, st.lists(st.tuples(TEXT, st.floats(-50, 0)), max_size=3))
def test_predictions_survive_the_file(tmp_path_factory, answer, reference, candidates):
    from ecg_fairseq.evaluation.answers.predictions import Prediction

    prediction = Prediction(
        id="a",
        question="q",
        question_type="single-choose",
        template_id=-1,
        answer=answer,
        reference=reference,
        record_ids=("r", "s"),
        patient_ids=("p", "p"),
        options=None,
        closed_set=tuple(Candidate(*candidate) for candidate in candidates),
    )
    path = tmp_path_factory.mktemp("predictions") / "predictions.jsonl"
    write_predictions(path, [prediction])
    assert read_predictions(path) == [prediction]


GOOD = (
    '{"id":"a","question":"q","question_type":"t","template_id":1,"answer":"x","reference":"y",'
    '"record_ids":["r"],"patient_ids":["p"]}'
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no answers"),
        ("{", "line 1"),
        ("[1]", "a JSON object is expected"),
        (GOOD + "\n" + GOOD, "line 2: question id 'a' stands on line 1"),
        (GOOD.replace('"answer":"x",', ""), "'answer' is missing"),
        (GOOD.replace('"x"', "1"), "must be text"),
        (GOOD.replace('["r"]', '"r"'), "list of texts"),
        (GOOD.replace('template_id":1', 'template_id":1.5'), "integer"),
        (GOOD[:-1] + ',"closed_set":[{"text":"a"}]}', "closed_set"),
    ],
)
def test_damaged_predictions_are_named(tmp_path, text, message):
    path = tmp_path / "predictions.jsonl"
    path.write_text(text)
    with pytest.raises(ScoreError, match=message):
        read_predictions(path)
