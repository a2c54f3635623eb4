"""Floors of generated reports."""

import numpy as np
import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.reports.floors import (
    KnownReport,
    majority_report,
    nearest_reports,
    other_patient_reports,
)


def test_majority_is_the_most_frequent_text():
    assert majority_report(["b", "a", "b ", "a", "c"]) == "a"  # a tie: the alphabet decides
    assert majority_report(["b", "a", "b\n"]) == "b"
    with pytest.raises(ScoreError, match="no report"):
        majority_report([])


def test_another_patients_report_is_never_ones_own():
    ids = [f"q{i}" for i in range(200)]
    patients = [(f"p{i // 4}",) for i in range(200)]
    texts = [names[0] for names in patients]
    chosen = other_patient_reports(ids, patients, texts, seed=0)
    assert all(text != own for text, own in zip(chosen, texts, strict=True))
    assert len(set(chosen)) > 25  # spread over the patients, not a neighbor for all
    assert other_patient_reports(ids, patients, texts, seed=0) == chosen
    assert other_patient_reports(ids, patients, texts, seed=1) != chosen
    # The order of the file decides nothing.
    turned = other_patient_reports(ids[::-1], patients[::-1], texts[::-1], seed=0)
    assert turned[::-1] == chosen
    assert other_patient_reports(ids[:4], patients[:4], texts[:4], seed=0) is None


def test_nearest_report_is_anothers_by_cosine():
    known = [KnownReport(f"r{i}", f"p{i}", f"text {i}") for i in range(3)]
    keys = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.1]], dtype=np.float32)
    queries = np.array([[5.0, 0.1], [0.1, 0.5], [0.1, 0.5]])
    patients = [("x",), ("x",), ("p1",)]
    assert nearest_reports(queries, patients, keys, known) == ["text 0", "text 1", "text 0"]
    many = np.tile(queries, (600, 1))
    assert (
        nearest_reports(many, patients * 600, keys, known) == ["text 0", "text 1", "text 0"] * 600
    )


@pytest.mark.parametrize(
    ("queries", "patients", "message"),
    [
        (np.ones((1, 3)), [("x",)], "width 3"),
        (np.ones((1, 2, 2)), [("x",)], "expected .1, width."),
        (np.full((1, 2), np.nan), [("x",)], "not finite"),
        (np.ones((1, 2)), [("p0",)], "every training report is of patient 'p0'"),
    ],
)
def test_embeddings_that_do_not_fit(queries, patients, message):
    with pytest.raises(ScoreError, match=message):
        nearest_reports(queries, patients, np.ones((1, 2)), [KnownReport("r0", "p0", "text")])
