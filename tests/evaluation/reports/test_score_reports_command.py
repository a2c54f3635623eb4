"""``ecg-fairseq score`` on answers that are reports."""

import json

import numpy as np
import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.evaluation.answers.predictions import write_predictions
from ecg_fairseq.evaluation.reports.known_reports import read_embeddings


@pytest.fixture
def answers(tmp_path, make_prediction):
    path = tmp_path / "predictions.jsonl"
    texts = ["sinus rhythm. lvh", "sinus bradycardia", "sinus rhythm", "lad. sinus rhythm"]
    items = [
        make_prediction(i, texts[i % 4], texts[(i // 2) % 4], patients=(f"p{i}",), kind="report")
        for i in range(12)
    ]
    write_predictions(path, [*items, make_prediction(50, "yes", "yes", patients=("p1",))])
    return path


def score(path, *words):
    return main(["score", str(path), "--resamples", "50", *map(str, words)])


def test_reports_are_scored_beside_the_answers(answers, capsys):
    assert score(answers, "--statements", "simulated", "--published-metrics") == 0
    scores = json.loads((answers.parent / "scores.json").read_text())
    assert scores["n_test"] == 13
    assert scores["reports"]["n"] == 12
    assert scores["reports"]["statements"] == "simulated"
    assert 0 < scores["reports"]["metrics"]["clinical_f1"] < 1
    assert scores["published_metrics"]["answer_accuracy"] == {"single-verify": 1.0}
    assert scores["published_metrics"]["reports"]["rouge-l_f"] > 0
    printed = capsys.readouterr().out
    assert "clinical F1 (pooled)" in printed
    assert "in the form of HeartLLM" in printed


def test_scores_without_reports_are_as_they_were(answers, capsys):
    lines = [line for line in answers.read_text().splitlines() if "single-verify" in line]
    answers.write_text("\n".join(lines))
    assert score(answers) == 0
    scores = json.loads((answers.parent / "scores.json").read_text())
    assert "reports" not in scores
    assert "published_metrics" not in scores
    assert "clinical" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--statements", "guess"], "'guess'; expected a folder"),
        (["--report-types", "conversation"], "no answer is a report of conversation"),
        (["--report-types", "x", "--statements", "simulated"], "no answer is a report"),
        (["--embeddings", "e.npy"], "needs the manifest folder"),
    ],
)
def test_mistakes_with_reports_are_explained(answers, capsys, words, message):
    assert score(answers, *words) == 1
    assert message in capsys.readouterr().err


def test_embeddings_are_averaged_by_recording(tmp_path):
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=np.float32)
    np.save(tmp_path / "x.npy", values)
    lines = ["row\trecord_id", "0\ta", "1\tb", "2\ta"]
    (tmp_path / "x.tsv").write_text("\n".join(lines) + "\n")
    found = read_embeddings(tmp_path / "x.npy")
    assert found["a"].tolist() == [3.0, 4.0]
    assert found["b"].tolist() == [3.0, 4.0]
    (tmp_path / "x.tsv").write_text("\n".join(lines[:3]) + "\n")
    with pytest.raises(Exception, match=r"2 lines .* 3 rows"):
        read_embeddings(tmp_path / "x.npy")
    with pytest.raises(Exception, match="cannot be read"):
        read_embeddings(tmp_path / "y.npy")
