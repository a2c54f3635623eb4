"""All figures of reports together, and the published form of them."""

import json

import numpy as np
import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.reports.floors import KnownReport
from ecg_fairseq.evaluation.reports.published import (
    published_answer_accuracy,
    published_report_metrics,
)
from ecg_fairseq.evaluation.reports.scores import ReportScoring, score_reports
from ecg_fairseq.evaluation.reports.table import format_report_scores
from ecg_fairseq.evaluation.reports.text import compare_texts

TEXTS = [
    "sinus rhythm. lvh.",
    "sinus rhythm with av block i, lad",
    "absolute arrhythmia in atrial fibrillation. pvcs",
    "sinus bradycardia. normal ecg",
    "sinus tachycardia, low voltage",
]


@pytest.fixture
def reports(make_prediction):
    """Forty reports on ten patients; those of number 3 n or 7 n have the report of another."""
    references = [TEXTS[(i // 4 + i) % 5] for i in range(40)]
    return [
        make_prediction(
            i,
            references[i] if i % 3 and i % 7 else TEXTS[(i // 4 + i + 2) % 5],
            references[i],
            patients=(f"p{i // 4}",),
            kind="report",
            template=0,
        )
        for i in range(40)
    ]


def how(**more):
    return ReportScoring("simulated", num_resamples=200, **more)


def test_figures_floors_and_intervals(reports, make_prediction):
    other = make_prediction(99, "yes", "yes")
    training = [KnownReport("r1", "t1", TEXTS[0]), KnownReport("r2", "t2", TEXTS[0])]
    scores = score_reports([*reports, other], how(training=training))
    assert (scores["n"], scores["n_patients"]) == (40, 10)
    assert scores["definitions"]["majority_of"] == "training reports"
    metrics = scores["metrics"]
    agreed = [p.answer == p.reference for p in reports]
    assert 0.5 <= metrics["clinical_f1"] < 0.8
    assert sum(agreed) == 22
    assert scores["floors"]["majority"]["metrics"]["clinical_recall"] < 0.4
    low, high = scores["intervals"]["clinical_f1"]
    assert low < metrics["clinical_f1"] < high
    low, high = scores["floors"]["majority"]["difference_intervals"]["clinical_f1"]
    gain = metrics["clinical_f1"] - scores["floors"]["majority"]["metrics"]["clinical_f1"]
    assert 0 < low < gain < high
    assert set(scores["floors"]) == {"majority", "other_patient"}
    assert any("--embeddings" in note for note in scores["notes"])
    assert "left ventricular hypertrophy" in scores["by_statement"]
    table = format_report_scores(scores)
    assert "clinical F1 above majority" in table
    assert "CIDEr-D" in table
    json.dumps(scores, allow_nan=False)


def test_nearest_training_report(reports):
    training = [KnownReport(f"t{i}", f"t{i}", text) for i, text in enumerate(TEXTS)]
    embeddings = {f"t{i}": np.eye(5)[i] for i in range(5)}
    for report in reversed(reports):  # the recordings of a patient share a name here
        embeddings[report.record_ids[0]] = np.eye(5)[TEXTS.index(report.reference)]
    scores = score_reports(reports[:1], how(training=training, embeddings=embeddings))
    assert scores["floors"]["nearest"]["metrics"]["clinical_f1"] == 1.0
    with pytest.raises(ScoreError, match="none of the 0 training reports"):
        score_reports(reports, how(embeddings=embeddings))
    del embeddings[reports[0].record_ids[0]]
    with pytest.raises(ScoreError, match="about the recordings"):
        score_reports(reports, how(training=training, embeddings=embeddings))


def test_one_patient_has_no_interval(reports):
    scores = score_reports(reports[:4], how())
    assert set(scores["intervals"].values()) == {None}
    assert any("one patient" in note for note in scores["notes"])


def test_no_reports_no_figures(make_prediction):
    assert score_reports([make_prediction(1, "yes", "yes")], how()) is None
    kinds = how(question_types=("conversation",))
    asked = [make_prediction(1, "lvh", "lvh", kind="conversation")]
    assert score_reports(asked, kinds)["n"] == 1


def test_unknown_reader_lists_all(reports):
    with pytest.raises(ScoreError, match=r"'x'.*simulated: the wordings"):
        score_reports(reports, ReportScoring("x"))


def test_unknown_statements_are_noted(make_prediction):
    asked = [make_prediction(i, "abc", "abc", patients=(f"p{i}",), kind="report") for i in range(3)]
    scores = score_reports(asked, how())
    assert scores["metrics"]["clinical_f1"] is None
    assert any("3 of 3 reference reports make no statement" in n for n in scores["notes"])


def test_words_of_single_reports():
    texts = compare_texts(["sinus rhythm lvh", "yes"], ["sinus rhythm. lvh.", "no"])
    # sacrebleu 2.6.0 sentence_bleu(..., lowercase=True, use_effective_order=True)
    assert texts.by_report["sentence_bleu_1"][1] == 0.0
    assert texts.by_report["meteor"][1] == 0.0
    assert texts.figures()["rouge_l"] == pytest.approx(0.5)
    assert set(texts.figures()) >= {"bleu_1", "sentence_bleu_4", "rouge_2", "meteor", "cider_d"}
    longer = compare_texts(
        ["sinus rhythm. left axis deviation. normal ecg."],
        ["sinus rhythm. left axis deviation. otherwise normal ecg."],
    )
    assert longer.by_report["sentence_bleu_4"] == pytest.approx([0.710866788975], abs=1e-12)


def test_published_form_equals_the_golden_means(shared_dir):
    golden = json.loads((shared_dir / "golden/heartllm/text_metrics.json").read_text())
    pairs = golden["pairs"]
    figures = published_report_metrics(
        [pair["prediction"] for pair in pairs], [pair["reference"] for pair in pairs]
    )
    compared = {name.replace("bleu_", "bleu"): value for name, value in figures.items()}
    if not compared["meteor_uses_wordnet"]:
        compared["meteor_no_wordnet"] = compared["meteor"]
    for name, value in golden["mean"].items():
        if name in compared:
            assert compared[name] == pytest.approx(value, abs=1e-9), name
    assert set(golden["mean"]) - set(compared) <= {"meteor_no_wordnet"}


def test_published_accuracy_splits_at_full_stops(make_prediction):
    asked = [
        make_prediction(1, "b.a", "a; b", kind="single-query"),
        make_prediction(2, "a.", "a", kind="single-query"),  # the known quirk: wrong
        make_prediction(3, " yes ", "yes", kind="single-verify"),
        make_prediction(4, "Yes", "yes", kind="single-verify"),
        make_prediction(5, "yes", "yes", kind="comparison_consecutive-verify"),
    ]
    assert published_answer_accuracy(asked) == {"single-verify": 0.5, "single-query": 0.5}
