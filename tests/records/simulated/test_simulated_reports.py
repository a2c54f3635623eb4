"""Reports of simulated recordings: what they say, in which words, and that it can be read back."""

import csv
import itertools
import re

import pytest

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import sha256_of_file
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts import layout_writer
from ecg_fairseq.records.simulated.plan import draw_case, plan_cohort
from ecg_fairseq.records.simulated.ptb_xl_tables import (
    database_row,
    scp_codes,
    simulated_report,
    write_tables,
)
from ecg_fairseq.records.simulated.report_statements import statements
from ecg_fairseq.records.simulated.report_wordings import JOINERS, LANGUAGES, WORDINGS
from ecg_fairseq.records.simulated.reports import REPORT_STYLES, report_statements


@pytest.fixture(scope="module")
def cases():
    return [draw_case(planned, 3) for planned in plan_cohort(300, 3)]


def said_by(case):
    return report_statements(list(scp_codes(case.findings)), case.findings.left_axis)


@pytest.mark.parametrize("style", REPORT_STYLES)
def test_every_report_is_read_back_exactly(cases, style):
    for case in cases:
        text = simulated_report(case, 3, style)
        assert statements(text) == set(said_by(case)), text
        assert statements(f"  {text.upper()}\n") == set(said_by(case)), text


def test_wordings_differ_and_depend_on_the_seed_alone(cases):
    texts = {}
    for case in cases:
        texts.setdefault(tuple(said_by(case)), set()).add(simulated_report(case, 3, "english"))
    frequent = ("sinus rhythm", "normal ecg")
    assert len(texts[frequent]) >= 4
    again = [simulated_report(case, 3, "english") for case in reversed(cases)]
    assert again[::-1] == [simulated_report(case, 3, "english") for case in cases]
    assert again[::-1] != [simulated_report(case, 4, "english") for case in cases]


def test_mixed_reports_are_mostly_german(cases):
    mixed = [simulated_report(case, 3, "mixed") for case in cases]
    german = [simulated_report(case, 3, "german") for case in cases]
    english = [simulated_report(case, 3, "english") for case in cases]
    assert all(text in pair for text, *pair in zip(mixed, german, english, strict=True))
    share = sum(text == other for text, other in zip(mixed, german, strict=True)) / len(mixed)
    assert 0.6 < share < 0.8


def test_every_statement_has_several_wordings_of_its_own():
    meanings = {}
    for wordings in WORDINGS:
        assert len(wordings.english) >= 2
        assert wordings.german
        for language in LANGUAGES:
            for text in wordings.of(language):
                assert meanings.setdefault(text, wordings.statements) == wordings.statements
                assert text == text.lower().strip()
                assert not re.search(r"[.,;\n]|  ", text)
                assert statements(text) == set(wordings.statements)
    joiners = [word for words in JOINERS.values() for word in words]
    joined = {f"{a} {j} {b}" for a, b in itertools.product(meanings, repeat=2) for j in joiners}
    assert not joined & meanings.keys()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("no left axis deviation", set()),
        ("incomplete left bundle branch block. lvh", {"left ventricular hypertrophy"}),
        ("sinus rhythm without lvh", set()),
        ("abnormal ecg", set()),
        (
            "Sinus  Rhythm and low qrs voltages in the frontal and horizontal leads; LAD.",
            {
                "sinus rhythm",
                "low qrs voltages in the frontal and horizontal leads",
                "left axis deviation",
            },
        ),
        ("sinus rhythm with", set()),
    ],
)
def test_a_clause_counts_as_a_whole_or_not_at_all(text, expected):
    assert statements(text) == expected


def test_reports_in_the_table_follow_the_option(tmp_path):
    few = {"patients": 3, "question_types": ("single-verify",)}
    rows = {}
    for style in ("english", "plain"):
        folder = tmp_path / style
        layout_writer("ptb_xl")(folder, CohortSettings(**few, reports=style), 1)
        with open(folder / "ptbxl_database.csv", encoding="utf-8") as stream:
            rows[style] = list(csv.DictReader(stream))
    texts = {style: [row.pop("report") for row in rows[style]] for style in rows}
    assert rows["english"] == rows["plain"]
    assert texts["english"] != texts["plain"]
    assert [statements(text) for text in texts["english"]] == [
        statements(text) for text in texts["plain"]
    ]
    for name in ("records500/00000/00001_hr.dat", "ecg-qa/ecgqa/ptbxl/template/train/00000.json"):
        assert (tmp_path / "english" / name).read_bytes() == (
            tmp_path / "plain" / name
        ).read_bytes()
    with pytest.raises(EcgError, match="other settings"):
        layout_writer("ptb_xl")(tmp_path / "plain", CohortSettings(**few), 1)


def test_plain_reports_are_those_of_before(tmp_path):
    """The table of 12 patients, seed 3, as it was before reports had several wordings."""
    cases = [draw_case(planned, 3) for planned in plan_cohort(12, 3)]
    write_tables(
        tmp_path, [database_row(case, simulated_report(case, 3, "plain")) for case in cases]
    )
    digest = sha256_of_file(tmp_path / "ptbxl_database.csv")
    assert digest == "51158a7094b4721fe1300b11f577696a6e3bc64eb041fad0536af7308e4b07ec"


def test_styles_that_mean_nothing_are_refused(tmp_path):
    with pytest.raises(EcgError, match="--reports latin: expected one of english"):
        CohortSettings(3, reports="latin").validate()
    with pytest.raises(EcgError, match="layout ludb has reports of its own, or none"):
        layout_writer("ludb")(tmp_path / "x", CohortSettings(3, reports="german"), 1)
    assert not (tmp_path / "x").exists()
