"""From a simulated cohort to scored reports: questions, floors and the retrieval floor."""

import json

import numpy as np
import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.evaluation.answers.predictions import Candidate, Prediction, write_predictions
from ecg_fairseq.evaluation.reports.known_reports import training_reports
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts import layout_writer


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """One with report questions, one without."""
    folder = tmp_path_factory.mktemp("reports")
    settings = CohortSettings(20, seed=3, question_types=("single-verify",))
    layout_writer("ptb_xl")(folder / "raw", settings, 1)
    words = ["prepare", "ptb_xl", str(folder / "raw"), "--recipe", "ecg_byte"]
    assert main([*words, "--out", str(folder / "with"), "--report-questions"]) == 0
    assert main([*words, "--out", str(folder / "without")]) == 0
    return folder / "with", folder / "without"


def test_training_reports_come_from_questions_or_from_the_table(manifests):
    asked, table = (training_reports(Manifest.load(path), ("report",)) for path in manifests)
    assert asked == table
    assert {report.record_id for report in asked} == {
        row.record_id for row in Manifest.load(manifests[0]).split_records("train")
    }


def test_scored_with_all_floors(manifests, tmp_path):
    manifest = Manifest.load(manifests[0])
    questions = list(manifest.questions("test"))
    answers = [Prediction.of(item, item, [Candidate(item.answer_text, 0.0)]) for item in questions]
    write_predictions(tmp_path / "predictions.jsonl", answers)
    rows = [row for split in ("train", "test") for row in manifest.split_records(split)]
    # What an encoder that sees everything would give: one place for each kind of report.
    kinds = sorted({row.report for row in rows})
    values = np.eye(len(kinds), dtype=np.float32)[[kinds.index(row.report) for row in rows]]
    np.save(tmp_path / "x.npy", values + 0.01)
    table = ["row\trecord_id", *(f"{number}\t{row.record_id}" for number, row in enumerate(rows))]
    (tmp_path / "x.tsv").write_text("\n".join(table) + "\n")
    words = ["score", str(tmp_path / "predictions.jsonl"), str(manifests[0]), "--resamples", "50"]
    assert main([*words, "--statements", "simulated", "--embeddings", str(tmp_path / "x.npy")]) == 0
    reports = json.loads((tmp_path / "scores.json").read_text())["reports"]
    assert reports["n"] == len(questions)
    assert reports["metrics"]["clinical_f1"] == 1.0
    assert reports["metrics"]["rouge_l"] == 1.0
    assert set(reports["floors"]) == {"majority", "other_patient", "nearest"}
    assert reports["definitions"]["majority_of"] == "training reports"
    assert all(floor["metrics"]["clinical_f1"] < 1.0 for floor in reports["floors"].values())
