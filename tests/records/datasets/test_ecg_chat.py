"""ECG-Chat's conversations about MIMIC-IV-ECG: first two turns, sides by subject, damaged files."""

import json
from pathlib import Path

import pytest

from ecg_fairseq.cli.prepare import prepare_dataset
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.ecg_chat import (
    ecg_chat_dataset,
    read_conversations,
    read_json_list,
)
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.record_row import SPLITS
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts import layout_writer


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mimic")
    layout_writer("mimic_iv_ecg")(folder, CohortSettings(patients=12, seed=3), 1)
    return folder


def conversations(*turns: str, ecg: str = "files/p1000/p10000032/s40689238/40689238") -> list[dict]:
    speakers = ("human", "gpt")
    said = [{"from": speakers[n % 2], "value": text} for n, text in enumerate(turns)]
    return [{"id": "1", "ecg": ecg, "conversations": said}]


def written(folder: Path, value: object) -> Path:
    path = folder / "pretrain_mimic.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=2))
    return path


def test_the_script_makes_questions_of_conversations(raw, tmp_path, capsys):
    chat = raw / "ecg-chat/pretrain_mimic.json"
    words = [str(chat), "--mimic-iv-ecg", str(raw), "--out", str(tmp_path / "m")]
    words += ["--recipe", "ecg_byte_beat", "--progress", "silent", "--max-skip-fraction", "0.2"]
    assert prepare_dataset("ecg_chat", words) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    manifest = Manifest.load(tmp_path / "m")
    items = json.loads(chat.read_text())
    assert summary["records"] + summary["skipped"] == len(items)
    assert manifest.meta["questions_dropped"] == (
        {"recording not available or dropped": summary["skipped"]} if summary["skipped"] else {}
    )
    by_id = {item["ecg"].rpartition("/")[2]: item["conversations"] for item in items}
    found = [question for split in SPLITS for question in manifest.questions(split)]
    assert len(found) == summary["records"]
    assert len({question.question for question in found}) == 3
    for question in found:
        asked, answered = by_id[question.record_ids[0]]
        assert question.answer_text == answered["value"]
        assert question.question == asked["value"].replace("<ecg>", "").strip()
        assert (question.origin, question.question_type) == ("ecg_chat", "conversation")
    assert all(manifest.meta["split"]["patients"].values())


def test_only_the_first_two_turns_count(tmp_path):
    turns = ("<ecg>\nWhat is\nthis?", " Sinus rhythm.\nNormal. ", "And now?", "Still.")
    (found,), dropped = read_conversations(written(tmp_path, conversations(*turns)))
    assert (found.question, found.answer) == ("What isthis?", "Sinus rhythm.\nNormal.")
    assert found.record_id == "40689238"
    assert not dropped
    items = conversations("?") + conversations("<ecg>\n", "yes") + conversations("a", " ")
    kept, dropped = read_conversations(written(tmp_path, items))
    assert not kept
    assert dropped == {"conversation without an answer": 1, "empty question or answer": 2}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "expected a JSON list"),
        ("{}", "expected a JSON list"),
        ("[1", "no JSON list|item 0"),
        ("[", "cannot be read as JSON"),
        ("[{} {}]", "item 0|no JSON list"),
        ('[{"ecg": "a", "conversations": [', "cannot be read as JSON"),
        ("[7]", "item 0: expected an object"),
        ([{"ecg": 7, "conversations": []}], "item 0: expected an object"),
        ([{"ecg": "a", "conversations": ["x", "y"]}], "item 0: a turn has no value"),
        ("[" * 100_000, "cannot be read as JSON"),
    ],
)
def test_damaged_files_are_named(tmp_path, value, message):
    with pytest.raises(ManifestError, match=message) as caught:
        read_conversations(written(tmp_path, value))
    assert "pretrain_mimic.json" in str(caught.value)


def test_recordings_that_are_not_there(raw, tmp_path):
    with pytest.raises(ManifestError, match="not found"):
        read_conversations(tmp_path / "nix.json")
    path = written(tmp_path, conversations("?", "!"))
    with pytest.raises(ManifestError, match="none of the 1 recordings"):
        ecg_chat_dataset(path, raw)


@pytest.mark.parametrize("value", [[], [1], [[], {}, "a,]", None, 1.5, {"a": [1, 2]}]])
@pytest.mark.parametrize("indent", [None, 4])
def test_members_of_a_list_come_as_json_reads_them(tmp_path, value, indent):
    path = tmp_path / "list.json"
    path.write_text(json.dumps(value, indent=indent) + "\n")
    assert list(read_json_list(path)) == value
