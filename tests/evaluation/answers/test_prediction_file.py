"""Collecting a run's answers into one file, and which file a log's answers are read from."""

import json

import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.blind import blind_partners, questions_shown
from ecg_fairseq.evaluation.answers.prediction_file import PredictionFile, read_answers
from ecg_fairseq.evaluation.answers.predictions import Candidate, read_predictions


@pytest.fixture
def questions(make_question):
    return [make_question(i, patients=(f"p{i}",), answer=["yes"]) for i in range(4)]


def free_text(text):
    return [Candidate(text, -0.5)]


@pytest.fixture
def run(tmp_path, questions, log_text):
    """A finished run whose log says "log" and whose predictions file says the same."""

    def make(answer="log", is_blind=False):
        items = [(i, "yes", [(-0.5, answer)]) for i in range(4)]
        (tmp_path / "generate-test.txt").write_text(log_text(items))
        file = PredictionFile(tmp_path, questions, is_blind)
        file.expect(range(4))
        for index in (2, 0, 3, 1):
            file.add(index, free_text("log"))
        return tmp_path / "generate-test.txt"

    return make


def test_the_file_appears_with_the_last_answer_in_manifest_order(tmp_path, questions):
    file = PredictionFile(tmp_path, questions, is_blind=False)
    file.expect([3, 0, 2])
    for index in (3, 0):
        file.add(index, free_text(f"answer {index}"))
        assert not file.path.exists()
    file.add(2, [Candidate("answer 2", -0.5), Candidate("yes", -0.1), Candidate("no", -1 / 3)])
    written = read_predictions(tmp_path / "predictions.jsonl")
    assert [(p.id, p.answer) for p in written] == [(f"q{i}", f"answer {i}") for i in (0, 2, 3)]
    assert written[1].closed_set == (Candidate("yes", -0.1), Candidate("no", -1 / 3))


def test_a_file_of_an_earlier_run_goes_at_once(tmp_path, questions):
    (tmp_path / "predictions.jsonl").write_text("old")
    PredictionFile(tmp_path, questions, is_blind=False)
    assert list(tmp_path.iterdir()) == []


def test_blind_answers_name_the_ecgs_shown(tmp_path, questions, run):
    run(is_blind=True)
    shown = [questions[i].record_ids[0] for i in blind_partners(questions)]
    assert [p.record_ids for p in read_predictions(tmp_path / "predictions.jsonl")] == [
        (name,) for name in shown
    ]
    assert [q.record_ids[0] for q in questions_shown(questions, is_blind=True)] == shown


def mark(folder):
    """Tell the predictions file from the log by a closed set that only the former has."""
    path = folder / "predictions.jsonl"
    offered = [{"text": text, "score": -1.0} for text in ("no", "yes")]
    lines = [json.loads(line) | {"closed_set": offered} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def is_from_file(log, questions, is_blind=False):
    return bool(read_answers(log, questions, is_blind)[0].closed_set)


def test_the_file_beside_the_log_is_preferred_and_the_log_needs_no_answers(run, questions):
    log = run()
    mark(log.parent)
    assert is_from_file(log, questions)
    log.write_text("Generate test with beam=5: a quiet run\n")
    assert is_from_file(log, questions)


@pytest.mark.parametrize("is_blind", [False, True])
def test_a_file_of_the_other_kind_of_run_is_left_aside(run, questions, is_blind):
    log = run(answer="another", is_blind=not is_blind)
    mark(log.parent)
    assert not is_from_file(log, questions, is_blind)


@pytest.mark.parametrize("is_blind", [False, True])
def test_a_log_is_refused_for_the_other_kind_of_run(run, questions, is_blind):
    log = run(is_blind=not is_blind)
    with pytest.raises(ScoreError, match=r"generate-test.txt: by predictions.jsonl .*blind run"):
        read_answers(log, questions, is_blind)


def test_a_file_that_differs_from_the_log_is_left_aside(run, questions):
    log = run(answer="another")
    mark(log.parent)
    assert [p.answer for p in read_answers(log, questions, is_blind=False)] == ["another"] * 4


def test_a_log_that_was_cut_off_is_not_replaced_by_an_older_file(run, questions):
    log = run()
    mark(log.parent)
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:-1]))
    assert not is_from_file(log, questions)
    log.write_text("")
    with pytest.raises(ScoreError, match="holds no lines"):
        read_answers(log, questions, is_blind=False)


@pytest.mark.parametrize("damage", ["part", "broken", "nan"])
def test_a_file_that_is_not_whole_is_left_aside(run, questions, damage):
    log = run()
    mark(log.parent)
    path = log.parent / "predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines = lines[:-1] if damage == "part" else [*lines[:-1], lines[-1][:20]]
    if damage == "nan":
        lines[-1] = path.read_text().splitlines()[-1].replace("-1.0", "NaN")
    path.write_text("".join(lines))
    assert not is_from_file(log, questions)


def test_predictions_with_nan_scores_are_refused_by_themselves(run, questions):
    path = run().parent / "predictions.jsonl"
    line = path.read_text().splitlines()[0]
    path.write_text(line[:-1] + ', "closed_set": [{"text": "yes", "score": NaN}]}\n')
    with pytest.raises(ScoreError, match=r"line 1: .*NaN"):
        read_answers(path, None, is_blind=False)


def test_joined_shards_are_put_in_manifest_order(run, questions):
    path = run().parent / "predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(reversed(lines)))
    assert [p.id for p in read_answers(path, questions, is_blind=False)] == ["q0", "q1", "q2", "q3"]


def test_a_blind_file_of_an_earlier_rule_keeps_its_ecgs(run, questions):
    log = run(is_blind=True)
    path = log.parent / "predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    own = {question.id: question for question in questions}
    for line in lines:
        strangers = [
            q for q in questions if not set(q.patient_ids) & set(own[line["id"]].patient_ids)
        ]
        line["record_ids"] = list(strangers[-1].record_ids)
        line["patient_ids"] = list(strangers[-1].patient_ids)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_answers(log, questions, is_blind=True)
    assert [list(p.record_ids) for p in found] == [line["record_ids"] for line in lines]


def test_a_blind_log_by_itself_is_read_with_a_warning(run, questions, caplog):
    log = run(is_blind=True)
    (log.parent / "predictions.jsonl").unlink()
    assert len(read_answers(log, questions, is_blind=True)) == len(questions)
    assert "does not say which ECGs were shown" in caplog.text


def changed(path, place, **change):
    lines = [json.loads(line) for line in path.read_text().splitlines() if line]
    lines[place] |= change
    path.write_text("\n" + "".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"record_ids": ["record-of-p0"]},
        {"patient_ids": ["p0"]},
        {"template_id": 2},
        {"question_type": "single-query"},
        {"question": "another?"},
        {"options": ["yes"]},
        {"options": None},
    ],
)
@pytest.mark.parametrize("is_blind", [False, True])
def test_a_line_that_is_not_the_manifests_is_refused(run, questions, change, is_blind):
    if is_blind and set(change) & {"record_ids", "patient_ids"}:
        change = {name: ["another"] for name in change}  # of no question
    path = changed(run(is_blind=is_blind).parent / "predictions.jsonl", 2, **change)
    with pytest.raises(ScoreError, match=rf"line 4: question 'q2' .*{next(iter(change))}"):
        read_answers(path, questions, is_blind)


def test_each_kind_of_run_is_refused_for_the_other(run, questions):
    path = run(is_blind=True).parent / "predictions.jsonl"
    with pytest.raises(ScoreError, match=r"line 1: question 'q0' .*another ECG"):
        read_answers(path, questions, is_blind=False)
    assert len(read_answers(path, questions, is_blind=True)) == 4
    path = run().parent / "predictions.jsonl"
    with pytest.raises(ScoreError, match=r"line 1: question 'q0' .*no blind run"):
        read_answers(path, questions, is_blind=True)
    changed(path, 0, patient_ids=["p1"])
    with pytest.raises(ScoreError, match=r"line 2: question 'q0' .*record-of-p0.*no blind run"):
        read_answers(path, questions, is_blind=True)


def test_a_tampered_file_beside_a_log_is_left_aside(run, questions):
    log = run()
    mark(log.parent)
    changed(log.parent / "predictions.jsonl", 1, template_id=7)
    assert not is_from_file(log, questions)
