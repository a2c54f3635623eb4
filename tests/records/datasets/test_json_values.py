"""Published JSON with values that are not what they stand for: one sentence, nothing guessed."""

import json
from pathlib import Path
from typing import Any

import pytest

from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.files import atomic_write
from ecg_fairseq.records.datasets.ecg_chat import read_conversations
from ecg_fairseq.records.datasets.ecg_qa_files import EcgQaChoice, read_questions
from ecg_fairseq.records.datasets.heartllm import read_heartllm

ENTRY = {
    "sample_id": 1,
    "question": "Is it regular?",
    "answer": ["yes"],
    "question_type": "single-verify",
    "attribute_type": "rhythm",
    "template_id": 1,
    "attribute": ["regular"],
    "ecg_id": [12],
}
ODD: list[tuple[dict[str, Any], str]] = [
    ({"sample_id": float("inf")}, "sample_id is inf; expected a whole number"),
    ({"sample_id": 1.5}, "sample_id is 1.5"),
    ({"sample_id": True}, "sample_id is True"),
    ({"template_id": float("nan")}, "template_id is nan"),
    ({"template_id": None}, "template_id is None"),
    ({"ecg_id": "123"}, "ecg_id is '123'; expected a list"),
    ({"ecg_id": {"1": 2}}, r"ecg_id is \{'1': 2\}; expected a list"),
    ({"ecg_id": [1.5]}, "ecg_id is 1.5"),
    ({"ecg_id": [float("inf")]}, "ecg_id is inf"),
    ({"ecg_id": [None]}, "ecg_id is None"),
    ({"ecg_id": [[1]]}, r"ecg_id is \[1\]"),
    ({"ecg_id": [], "ecg_path": 5}, "ecg_path: 5 is not a list"),
    ({"ecg_id": [], "ecg_path": [None]}, "ecg_path is None"),
    ({"ecg_id": [], "ecg_path": ["a/b"]}, "ecg_id is 'b'"),
    ({"question": None}, "question is None; expected a text"),
    ({"question": "\ud800?"}, r"question is '\\ud800\?', which no file can hold"),
    ({"question": " "}, "the text is empty"),
    ({"answer": "yes"}, "answer: 'yes' is not a list"),
    ({"answer": [None]}, "answer is None"),
    ({"answer": ["a\udfff"]}, "which no file can hold"),
    ({"answer": [float("inf")]}, "answer is inf"),
    ({"attribute": [{"a": 1}]}, r"attribute is \{'a': 1\}"),
    ({"attribute_type": [1]}, "attribute_type is"),
]


def write_ecg_qa(folder: Path, *entries: dict[str, Any]) -> Path:
    path = folder / "ecgqa/ptbxl/template/train/a.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(entries)))
    return folder


@pytest.mark.parametrize(("change", "message"), ODD)
def test_odd_values_in_ecg_qa_are_refused_with_their_entry(tmp_path, change, message):
    folder = write_ecg_qa(tmp_path, ENTRY, {**ENTRY, "sample_id": 2, **change})
    with pytest.raises(ManifestError, match=f"a.json entry 1: .*{message}"):
        read_questions(folder, EcgQaChoice())


@pytest.mark.parametrize("name", ["sample_id", "question", "answer", "template_id"])
def test_values_that_are_missing_are_named(tmp_path, name):
    entry = {key: value for key, value in ENTRY.items() if key != name}
    with pytest.raises(ManifestError, match=f"entry 0: it has no '{name}'"):
        read_questions(write_ecg_qa(tmp_path, entry), EcgQaChoice())


def test_numbers_written_otherwise_and_empty_lists_are_what_they_were(tmp_path):
    entries = [
        {**ENTRY, "sample_id": "7", "template_id": 3.0, "ecg_id": ["00012"], "answer": ["no", 5]},
        {**ENTRY, "ecg_id": [], "ecg_path": "records500/00000/00013_hr"},
        {**ENTRY, "sample_id": 9, "ecg_id": []},
    ]
    questions, dropped = read_questions(write_ecg_qa(tmp_path, *entries), EcgQaChoice())
    found = [(q.id, q.template_id, q.record_ids, q.answer) for _, q in questions]
    assert found == [
        ("ptbxl-train-template-7", 3, ["12"], ["5", "no"]),
        ("ptbxl-train-template-1", 1, ["13"], ["yes"]),
    ]
    assert dropped == {"question without ECG": 1}


@pytest.mark.parametrize("classes", ["'abc'", "{'a': 1}", "[1, None]", "[" * 2000, "5"])
def test_odd_answer_tables_are_refused(tmp_path, classes):
    folder = write_ecg_qa(tmp_path, ENTRY)
    table = folder / "ecgqa/ptbxl/answers_for_each_template.csv"
    table.write_text(f'template_id,classes\n1,"{classes}"\n')
    with pytest.raises(ManifestError, match=r"answers_for_each_template\.csv cannot be read"):
        read_questions(folder, EcgQaChoice())


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"ecg_id": float("inf"), "report": "x"}, "ecg_id is inf"),
        ({"ecg_id": 1.5, "report": "x"}, "ecg_id is 1.5"),
        ({"ecg_id": 1, "report": None}, "report is None"),
        ({"ecg_id": 1, "report": "\ud800"}, "no file can hold"),
        ({"report": "x"}, "it has no 'ecg_id'"),
    ],
)
def test_odd_reports_of_heartllm_are_refused(tmp_path, monkeypatch, entry, message):
    from ecg_fairseq.records.datasets import heartllm

    monkeypatch.setattr(heartllm, "_REPORT_FILE", "{version}-{split}.json")
    for split in ("train", "valid", "test"):
        (tmp_path / f"ptbxl-{split}.json").write_text(json.dumps([entry]))
    with pytest.raises(ManifestError, match=message):
        read_heartllm(tmp_path, "report")


def test_odd_turns_of_ecg_chat_are_refused(tmp_path):
    for value, message in ((None, "value is None"), ("\ud800", "no file can hold")):
        turns = [{"value": "Report?"}, {"value": value}]
        path = tmp_path / "chat.json"
        path.write_text(json.dumps([{"ecg": "a", "conversations": turns}]))
        with pytest.raises(ManifestError, match=f"item 0: .*{message}"):
            read_conversations(path)


def test_text_that_is_no_utf_8_is_one_sentence_and_leaves_no_file(tmp_path):
    with pytest.raises(EcgError, match=r"a\\udc80b"), atomic_write(tmp_path / "x.txt") as stream:
        stream.write("a\udc80b")
    assert list(tmp_path.iterdir()) == []
