"""Statement-level agreement against hand counts and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from ecg_fairseq.evaluation.reports.agreement import compare_statements
from ecg_fairseq.evaluation.reports.patient_draws import patient_weights


def letters(text):
    return frozenset(text.replace(" ", ""))


def test_hand_counted():
    agreement = compare_statements(["a b", "b c", "", ""], ["a", "b d", "a", ""], letters)
    figures = agreement.figures()
    assert figures["clinical_precision"] == 2 / 4
    assert figures["clinical_recall"] == 2 / 4
    assert figures["clinical_f1"] == 2 / 4
    # a: 2*1/(1+2), b: 2*1/(2+1), d: 0; c is in no reference.
    assert figures["clinical_macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert figures["clinical_f1_by_report"] == pytest.approx((2 / 3 + 2 / 4 + 0 + 1) / 4)
    assert agreement.num_silent_references == 1
    table = agreement.by_statement()
    assert table["c"] == {
        **{"n_reference": 0, "n_generated": 1},
        **{"precision": 0.0, "recall": None, "f1": None},
    }
    assert table["d"]["precision"] is None


def test_equals_scikit_learn_on_random_statements():
    random = np.random.default_rng(5)
    truth, guess = (random.random((2, 200, 6)) < 0.3).astype(int)
    texts = [
        ["".join(name for name, bit in zip("abcdef", row, strict=True) if bit) for row in rows]
        for rows in (guess, truth)
    ]
    figures = compare_statements(*texts, letters).figures()
    precision, recall, f1, _ = precision_recall_fscore_support(truth, guess, average="micro")
    assert figures["clinical_precision"] == pytest.approx(precision)
    assert figures["clinical_recall"] == pytest.approx(recall)
    assert figures["clinical_f1"] == pytest.approx(f1)
    assert figures["clinical_macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
    by_report = f1_score(truth, guess, average="samples", zero_division=1.0)
    assert figures["clinical_f1_by_report"] == pytest.approx(by_report)


def test_weights_count_as_repeated_reports():
    texts = ["a b", "b", "c"], ["a", "b c", "c d"]
    agreement = compare_statements(*texts, letters)
    repeated = [[column[i] for i in (0, 0, 2, 2, 2)] for column in texts]
    expected = compare_statements(*repeated, letters).figures()
    weighted = agreement.weighted(np.array([[2.0, 0.0, 3.0]]))
    for name, values in weighted.items():
        assert values[0] == pytest.approx(expected[name]), name


def test_silent_texts_have_no_figure():
    figures = compare_statements(["", "a"], ["", ""], letters).figures()
    assert figures["clinical_f1"] is None
    assert figures["clinical_f1_by_report"] == 0.5


def test_patients_are_drawn_not_reports():
    patients = [("a",), ("a",), ("b",), ("a", "b"), ("c",)]
    weights = np.concatenate(list(patient_weights(patients, 500, seed=1)))
    assert weights.shape == (500, 5)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 0] * weights[:, 2]).all()
    assert (weights[:, 0] + weights[:, 2] + weights[:, 4] == 3).all()
    assert weights[:, 0].mean() == pytest.approx(1.0, abs=0.15)
    again = np.concatenate(list(patient_weights(patients, 500, seed=1)))
    assert (again == weights).all()
    with pytest.raises(ValueError, match="at least one patient"):
        next(patient_weights([("a",), ()], 5, seed=1))
