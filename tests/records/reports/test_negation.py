"""Denials over lists and behind the finding, in mode corrected."""

import pytest

from ecg_fairseq.records.reports.labeler import Labeler, open_labeler
from ecg_fairseq.records.reports.labeler_tables import read_labeler_tables

OWN = open_labeler()
LBBB, RBBB = "complete left bundle branch block", "complete right bundle branch block"
DENIED = [
    "no LVH or RVH",
    "no LVH, RVH, or LBBB",
    "no LVH/RVH",
    "no AF or flutter",
    "neither LVH nor RBBB",
    "kein Linksschenkelblock, Rechtsschenkelblock oder Vorderwandinfarkt",
    "weder Linksschenkelblock noch Rechtsschenkelblock",
    "kein LVH, kein RVH",
    "AF is not present",
    "AF no longer seen",
    "no longer in AF",
    "AF: none",
    "AF: no",
    "AF: no evidence",
    "AF - ruled out",
    "AF? no",
    "LBBB isn't present",
    "st elevation, no longer present",
    "negative for myocardial infarction",
    "Vorhofflimmern nicht nachweisbar",
    "Vorhofflimmern nicht mehr nachweisbar",
    "Linksschenkelblock ausgeschlossen",
    "first degree AV block ruled out",
    "non-sinus rhythm",
    "AF: false",
    "AF-free",
    "AF is no more",
    "AF is neither present nor suspected",
    "AF cannot be seen",
    "ruled out: MI",
    "sinus rhythm has resolved",
    "no ST elevation, ST depression, or T wave inversion",
    "keine Zeichen einer Linksherzhypertrophie oder eines Infarkts",
    "not AF or LBBB",
]


@pytest.mark.parametrize("text", DENIED)
def test_what_is_denied_is_no_label(text):
    assert OWN.label(text).probabilities == {}


@pytest.mark.parametrize(
    "text", ["no LVH or RVH", "no LVH, RVH, or LBBB", "AF: none", "AF is not present", "not AF"]
)
def test_denials_in_the_published_layout(shared_dir, text):
    tables = read_labeler_tables(shared_dir / "data" / "ecg-fm-labeler")
    assert Labeler(tables).label(text).probabilities == {}
    assert Labeler(tables, "reference").label(text).probabilities != {}


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("no evidence of AF, atrial flutter", ["atrial flutter"]),
        ("no LVH and RBBB", ["right bundle branch block"]),
        ("rule out anterior infarct", ["rule out", "anterior infarct"]),
        ("rule out MI or LVH", ["infarct", "lvh"]),
        ("infarct not ruled out", ["infarct not ruled out"]),
        ("AF negative", ["atrial fibrillation negative"]),
        ("AF unlikely", ["atrial fibrillation unlikely"]),
        ("LVH and RVH are not present", ["lvh"]),
        ("LVH as well as RVH not seen", ["lvh"]),
        ("st depression is not significant", ["st depression is not significant"]),
    ],
)
def test_what_cannot_be_decided_is_listed_and_no_label(text, listed):
    labels = OWN.label(text)
    assert labels.probabilities == {}
    assert all(words in labels.unmatched for words in listed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sinus rhythm. no LVH. LBBB", {"sinus rhythm", LBBB}),
        ("no ectopy. LBBB", {LBBB}),
        ("no LVH but RBBB", {RBBB}),
        ("AF: none; LBBB", {LBBB}),
        ("sinus rhythm, AF not present", {"sinus rhythm"}),
        ("sinus rhythm, not AF", {"sinus rhythm"}),
        ("AF has been replaced by sinus rhythm", {"sinus rhythm"}),
        ("Sinusrhythmus kein Vorhofflimmern Linkstyp", {"sinus rhythm", "left axis deviation"}),
        ("no significant change, LBBB", {LBBB}),
        ("no previous ECG, sinus rhythm", {"sinus rhythm"}),
        ("LBBB was not seen on the previous tracing", {LBBB}),
        ("LBBB, age not determinable", {LBBB}),
        ("LBBB is not new", {LBBB}),
        ("V4-V6 T negative, LBBB", {LBBB}),
        ("sinus rhythm has been replaced by AF", {"atrial fibrillation"}),
        ("AF cannot be excluded", {"atrial fibrillation"}),
        ("non-specific t wave changes", {"non-specific t-wave changes"}),
    ],
)
def test_what_is_not_denied_stays(text, said):
    assert OWN.statements(text) == said


def test_a_doubt_is_no_denial():
    assert OWN.label("AF cannot be excluded").probabilities["atrial fibrillation"] == 0.5
