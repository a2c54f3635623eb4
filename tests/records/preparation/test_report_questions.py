"""Report questions of a manifest: ``--report-questions``."""

from ecg_fairseq.cli.main import main
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.preparation.report_questions import with_report_questions
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts import layout_writer
from ecg_fairseq.records.simulated.report_statements import statements


def question(record_id, kind):
    return Question(
        id=f"{kind}-{record_id}",
        question="?",
        answer=["x"],
        question_type=kind,
        record_ids=[record_id],
        patient_ids=["p"],
    )


def test_every_report_is_asked_for_once():
    rows = [
        RecordRow("a", "p1", "train", report="sinus rhythm\nlvh; lad"),
        RecordRow("b", "p2", "test", report=" "),
        RecordRow("c", "p3", "test", report="sinus rhythm"),
        RecordRow("d", "p4", "", report="on no split"),
        RecordRow("e", "p5", "valid", report="asked for already"),
    ]
    own = {"train": [question("a", "single-verify")], "valid": [question("e", "report")]}
    dataset = RawDataset("x", [], "patient", make_questions=lambda rows, seed: (own, {"n": 1}))
    made, notes = with_report_questions(dataset).make_questions(rows, 0)
    assert {split: [item.id for item in items] for split, items in made.items()} == {
        "train": ["single-verify-a", "report-a"],
        "valid": ["report-e"],
        "test": ["report-c"],
    }
    asked = made["train"][1]
    assert asked.answer == ["sinus rhythm lvh; lad"]  # one text, its semicolon kept
    assert (asked.question_type, asked.origin, asked.options) == ("report", "reports", None)
    assert notes == {"n": 1, "report_questions": {"asked": 2, "records_without_report": 1}}


def test_the_option_of_the_command_line(tmp_path):
    raw = tmp_path / "raw"
    layout_writer("ptb_xl")(raw, CohortSettings(10, seed=3, question_types=("single-verify",)), 1)
    words = ["prepare", "ptb_xl", str(raw), "--recipe", "ecg_byte"]
    assert main([*words, "--out", str(tmp_path / "with"), "--report-questions"]) == 0
    assert main([*words, "--out", str(tmp_path / "without")]) == 0
    manifest = Manifest.load(tmp_path / "with")
    for split in ("train", "valid", "test"):
        rows = {row.record_id: row for row in manifest.split_records(split)}
        questions = list(manifest.questions(split))
        assert [item.record_ids[0] for item in questions] == list(rows)
        for item in questions:
            assert item.answer_text == rows[item.record_ids[0]].report
            assert statements(item.answer_text)
    assert manifest.meta["report_questions"]["records_without_report"] == 0
    assert not list(Manifest.load(tmp_path / "without").questions("train"))
