"""The labeler against the published code's results, and by itself."""

import json
import statistics as averages
import time

import pytest

from ecg_fairseq.errors import LabelerError
from ecg_fairseq.records.datasets.mimic_iv_ecg import join_report
from ecg_fairseq.records.reports.labeler import MODES, Labeler, open_labeler
from ecg_fairseq.records.reports.labeler_tables import OWN_TABLES, read_labeler_tables
from ecg_fairseq.records.reports.normalization import Normalizer
from ecg_fairseq.records.simulated.layouts.mimic_iv_ecg_tables import statements
from ecg_fairseq.records.simulated.plan import draw_case, plan_cohort
from ecg_fairseq.records.simulated.report_wordings import LANGUAGES, WORDINGS

OWN = open_labeler()


@pytest.fixture(scope="module")
def tables(shared_dir):
    return read_labeler_tables(shared_dir / "data" / "ecg-fm-labeler")


@pytest.fixture(scope="module")
def cases(shared_dir):
    return json.loads((shared_dir / "golden/ecg-fm/labeler_cases.json").read_text())


@pytest.mark.parametrize("mode", MODES)
def test_equals_the_published_labeler(tables, cases, mode):
    labeler = Labeler(tables, mode)
    for case in cases:
        labels = labeler.label(case["input"])
        assert labels.normalized == case["preprocessed"]
        assert labels.unmatched == case["unmatched"], case["input"]
        assert labels.probabilities == case[f"labels_{mode}"], case["input"]
        assert labels.sources.keys() == labels.probabilities.keys()


def test_equals_the_published_example(tables, shared_dir):
    example = json.loads((shared_dir / "golden/ecg-fm/labeler_example.json").read_text())
    labeler = Labeler(tables, "reference")
    found = [labeler.label(text) for text in example["input"]]
    assert [labels.normalized for labels in found] == example["preprocessed"]
    assert [labels.unmatched for labels in found] == example["unmatched"]
    assert [labels.probabilities for labels in found] == example["labels_flat"]


def test_what_is_absent_is_no_label(tables):
    text = "no atrial fibrillation"
    assert "Atrial fibrillation" not in Labeler(tables).label(text).probabilities
    assert Labeler(tables, "reference").label(text).probabilities["Atrial fibrillation"] == 1.0


def test_sources_are_the_words_that_said_it(tables):
    labels = Labeler(tables).label("Possible septal infarct; lead v1 unsuitable for analysis")
    assert labels.sources["Infarction - Septal"] == ("infarct", "septal")
    assert labels.sources["Septal infarction"] == ("infarct", "septal")
    assert labels.sources["Infarction - Possible"] == ("infarct", "possible")
    assert labels.sources["Poor data quality"] == ("lead v1 unsuitable for analysis",)
    assert labels.probabilities["Infarction"] == 0.65


def test_own_tables_read_simulated_machine_statements():
    for planned in plan_cohort(100, 3):
        findings = draw_case(planned, 3).findings
        said = OWN.statements(join_report(statements(findings)))
        assert ("atrial fibrillation" in said) == findings.atrial_fibrillation
        assert ("prolonged pr interval" in said) == findings.av_block
        assert ("left axis deviation" in said) == findings.left_axis
        assert ("ventricular premature complex" in said) == findings.premature_beats
        assert ("normal ecg" in said) == findings.is_normal_ecg


def test_twenty_thousand_statements_a_second(tables, cases):
    texts = [case["input"] for case in cases] * 50
    rates = []
    for _ in range(5):
        labeler, start = Labeler(tables), time.process_time()
        for text in texts:
            labeler.label(text)
        rates.append(len(texts) / (time.process_time() - start))
    assert averages.median(rates) > 20_000


def test_an_unknown_mode_is_refused(tables):
    with pytest.raises(LabelerError, match="'fixed'; expected one of corrected, reference"):
        Labeler(tables, "fixed")


def test_own_tables_read_all_simulated_wordings():
    for wordings in WORDINGS:
        more = {"myocardial infarction"} if "infarction" in f"{wordings.statements}" else set()
        for language in LANGUAGES:
            for text in wordings.of(language):
                assert OWN.statements(text) == {*wordings.statements, *more}, text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        (
            "SINUSRHYTHMUS LINKSTYP SONST NORMALES EKG",
            {"sinus rhythm", "left axis deviation", "normal ecg"},
        ),
        ("sinus rhythm without left bundle branch block", {"sinus rhythm"}),
        ("No premature ventricular contractions.", set()),
        (
            "sinus rhythm with PVC(s); Prolonged PR interval",
            {"sinus rhythm", "ventricular premature complex", "prolonged pr interval"},
        ),
        (
            "Possible anteroseptal infarct, age undetermined",
            {"myocardial infarction", "myocardial infarction in anteroseptal leads"},
        ),
        ("atrial-paced rhythm", {"normal functioning artificial pacemaker"}),
        (
            "Incomplete RBBB and LAFB",
            {"incomplete right bundle branch block", "left anterior fascicular block"},
        ),
        ("confirmed by Dr. Sinus Rhythm", set()),
        ("Normal ECG except for rate", {"normal ecg except for rate"}),
        ("Sinus rhythm; Abnormal", {"sinus rhythm", "abnormal ecg"}),
        ("rhythm was previously atrial flutter", set()),
    ],
)
def test_own_tables_read_ptb_xl_and_mimic(text, expected):
    assert OWN.statements(text) == expected


def test_own_patterns_can_be_met():
    """A pattern that normalization would change could never match."""
    normalize = Normalizer()
    for batch in read_labeler_tables(OWN_TABLES).phrases:
        for phrase in batch:
            assert normalize(phrase) in (phrase, f"{phrase} ecg")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Lead(s) unsuitable for analysis: V1, V2 aVR",
            "lead v1 unsuitable for analysis; lead v2 unsuitable for analysis; "
            "lead avr unsuitable for analysis",
        ),
        ("AVR in aVR", "accelerated ventricular rhythm in avr"),
        ("PVC's", "premature ventricular beats"),
        ("T-wave&ST changes", "t wave and st wave changes"),
        ("lav av", "lav atrioventricular"),
        ("wall", ""),
    ],
)
def test_spellings(text, expected):
    assert Normalizer()(text) == expected


def test_private_characters_of_a_text_mean_nothing():
    assert OWN.statements("\U000f0000 sinus rhythm \U000f0001") == {"sinus rhythm"}


def test_further_words_of_a_folder():
    assert Normalizer([("sinsu", "sinus")])("Sinsu rhythm") == "sinus rhythm"
