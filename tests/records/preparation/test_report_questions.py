"""What a manifest makes of reports: ``--report-questions`` and ``--labels-from-reports``."""

from dataclasses import replace

import numpy as np
import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.labels.label_files import read_label_files
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.preparation.report_labels import with_report_labels
from ecg_fairseq.records.preparation.report_questions import with_report_questions
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.reports.labeler import open_labeler
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts import layout_writer
from ecg_fairseq.records.simulated.report_statements import statements
from ecg_fairseq.records.source_record import SourceRecord


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


def test_labels_from_reports(tmp_path, capsys):
    raw, out = tmp_path / "raw", tmp_path / "manifest"
    layout_writer("ptb_xl")(raw, CohortSettings(10, seed=3, question_types=("single-verify",)), 1)
    words = ["prepare", "ptb_xl", str(raw), "--recipe", "ecg_byte", "--out", str(out)]
    assert main([*words, "--labels-from-reports"]) == 0
    names, values = read_label_files(out / "labels")
    manifest = Manifest.load(out)
    lines = (out / "records.tsv").read_text().splitlines()[1:]
    assert len(lines) == len(values)
    for line, marked in zip(lines, values, strict=True):
        said = statements(manifest.record_row(line.split("\t")[0]).report)
        found = {name for name, value in zip(names, marked, strict=True) if value == 1}
        assert found - {"myocardial infarction"} == said
    assert manifest.meta["labels_from_reports"]["records_without_report"] == 0
    capsys.readouterr()
    table = tmp_path / "labels.csv"
    table.write_text("record_id,x\n1,1\n")
    assert main([*words, "--labels-from-reports", "--label-table", str(table)]) == 1
    assert "choose one" in capsys.readouterr().err
    assert main([*words, "--labeler-tables", str(tmp_path)]) == 1
    assert "give both, or none" in capsys.readouterr().err


def test_labels_that_were_asked_for_are_not_dropped(tmp_path, capsys):
    raw, out = tmp_path / "raw", tmp_path / "manifest"
    layout_writer("ptb_xl")(raw, CohortSettings(4, seed=3, question_types=("single-verify",)), 1)
    words = ["prepare", "ptb_xl", str(raw), "--recipe", "ecg_byte", "--out", str(out)]
    for name in ("superclass", "rhythm"):  # the default's name, and another
        assert main([*words, "--labels-from-reports", "--label-set", name]) == 1
        assert f"--label-set {name} and --labels-from-reports" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "--labels-from-reports", "--label-set", "none"]) == 0
    assert Manifest.load(out).meta["labels"]["set"] == "reports"


@pytest.mark.parametrize(("cells", "is_refused"), [(("1", "0"), True), (("high", "low"), False)])
def test_own_columns_of_labels_are_not_dropped(tmp_path, capsys, cells, is_refused):
    array, table = tmp_path / "ecgs.npy", tmp_path / "labels.csv"
    np.save(array, np.random.default_rng(0).normal(0, 0.3, (2, 12, 5000)).astype(np.float32))
    reports = ("sinus rhythm", "LBBB")
    lines = [f"p{i},{report},{cells[i]}\n" for i, report in enumerate(reports)]
    table.write_text("".join(["patient_id,report,MI\n", *lines]))
    words = ["prepare", "own_data", str(array), "--fs", "500", "--labels", str(table)]
    words += ["--recipe", "ecg_byte", "--out", str(tmp_path / "m"), "--labels-from-reports"]
    assert main(words) == int(is_refused)
    message = "--labels-from-reports would replace the labels of --labels (MI)"
    assert (message in capsys.readouterr().err) == is_refused


def test_reports_that_say_nothing_are_refused():
    sources = [SourceRecord(record_id="1", patient_id="p", path="x", source="x", report="zebra")]
    with pytest.raises(ManifestError, match="match none of the 1 reports"):
        with_report_labels(RawDataset("x", sources, "patient"), open_labeler())
    silent = [replace(sources[0], report=" ")]
    with pytest.raises(ManifestError, match="no recording of x has a written report"):
        with_report_labels(RawDataset("x", silent, "patient"), open_labeler())
