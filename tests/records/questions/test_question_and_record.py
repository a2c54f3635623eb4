"""Records and questions in memory, and question files."""

import json

import numpy as np
import pytest

from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.records.questions.question import (
    Question,
    answer_text,
    canonical_answer,
    write_questions,
)
from ecg_fairseq.records.questions.question_file import read_questions
from ecg_fairseq.records.record import EcgRecord


def question(name="q1", **changes):
    values = {
        "id": name,
        "question": "Is it?",
        "answer": ["yes"],
        "question_type": "single-verify",
        "record_ids": ["1"],
        "patient_ids": ["9"],
    }
    return Question(**{**values, **changes})


def test_selection_by_name_and_its_error():
    record = EcgRecord(np.eye(3, 7, dtype=np.float32), ("I", "II", "V1"), 500.0, "r", "p")
    assert record.select(["V1", "I"]).signal[:, 2].tolist() == [1.0, 0.0]
    assert record.select(["V1", "I"]).leads == ("V1", "I")
    with pytest.raises(RecordError, match="record r: lead V6 is missing"):
        record.select(["I", "V6"])


@pytest.mark.parametrize(
    ("shape", "leads", "fs_hz"),
    [
        ((3, 7), ("I", "II"), 500.0),
        ((2, 0), ("I", "II"), 500.0),
        ((2, 7), ("I", "I"), 500.0),
        ((2, 7), ("I", "II"), 0.0),
        ((2, 7), ("I", "II"), float("nan")),
        ((14,), ("I", "II"), 500.0),
    ],
)
def test_contradicting_records_are_refused(shape, leads, fs_hz):
    with pytest.raises(RecordError):
        EcgRecord(np.zeros(shape, np.float32), leads, fs_hz, "r", "p")


def test_answers_are_sorted_sets():
    assert canonical_answer([" b", "a", "b "]) == ["a", "b"]
    assert canonical_answer([]) == canonical_answer([""]) == ["none"]
    assert answer_text(["a", "b"]) == "a; b"
    assert question(answer=["a", "b"]).answer_text == "a; b"


@pytest.mark.parametrize(
    "change",
    [
        {"answer": ["b", "a"]},
        {"answer": []},
        {"question": "  "},
        {"record_ids": []},
        {"patient_ids": ["1", "2"]},
        {"style": "poem"},
        {"origin": "elsewhere"},
    ],
)
def test_bad_questions_are_refused(change):
    with pytest.raises(ManifestError, match="question 'q1'"):
        question(**change)


def test_file_round_trip_keeps_every_field(tmp_path):
    asked = [
        question(),
        question(
            "q2",
            question='Zoë\'s "tab\there" <sig_start>',
            options=["no", "yes"],
            attribute=["lbbb"],
            template_id=3,
            record_ids=["1", "2"],
            patient_ids=["9", "8"],
            origin="ecg_qa",
            style="paraphrased",
        ),
    ]
    assert write_questions(tmp_path / "train.jsonl", asked) == 2
    assert read_questions(tmp_path / "train.jsonl") == asked
    assert read_questions(tmp_path / "absent.jsonl") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "JSON lines"),
        ("[1]", "expected a JSON object"),
        ('{"id": "a"}', "missing"),
        (json.dumps({**question().to_dict(), "answer": "yes"}), "expected a list"),
        (json.dumps({**question().to_dict(), "template_id": "x"}), "template_id"),
        (json.dumps({**question().to_dict(), "record_ids": [1]}), "record_ids"),
        (json.dumps(question().to_dict()) + "\n" + json.dumps(question().to_dict()), "twice"),
    ],
)
def test_damaged_files_are_refused_with_the_line(tmp_path, line, message):
    path = tmp_path / "train.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ManifestError, match=message):
        read_questions(path)
