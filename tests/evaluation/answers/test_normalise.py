"""The exact-match rules: what is forgiven and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_fairseq.evaluation.answers.exact_match import (
    answer_set,
    is_exact_match,
    normalize_text,
    options_in_text,
)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("Yes", "yes"),
        (" yes.\n", "yes"),
        ("sinus\t rhythm", "Sinus rhythm"),
        ("v2; v1", "v1; v2"),
        ("v1;v2;v2;", "v1; v2"),
        ("V1 ; V2.", "v1; v2"),
        ("", ""),
    ],
)
def test_equal_under_the_rules(answer, reference):
    assert is_exact_match(answer, reference)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("", "none"),
        ("none", ""),
        ("v1", "v1; v2"),
        ("v1; v2; v3", "v1; v2"),
        ("v1, v2", "v1; v2"),
        ("yes..", "yes"),
        ("sinusrhythm", "sinus rhythm"),
        ("yes yes", "yes"),
    ],
)
def test_different_under_the_rules(answer, reference):
    assert not is_exact_match(answer, reference)


@given(st.lists(st.sampled_from(["v1", "v2", "st elevation", "none"]), min_size=1, unique=True))
def test_order_never_matters(items):
    assert is_exact_match("; ".join(items), "; ".join(sorted(items, reverse=True)))


@given(st.text())
def test_every_text_matches_itself_in_other_case_and_space(text):
    assert is_exact_match(f"  {text}\t", text)
    assert all(item == item.strip() and item for item in answer_set(text))
    assert "  " not in normalize_text(text)


def test_options_are_whole_words_and_longest_first():
    options = ["st elevation", "anterior st elevation", "af", "none"]
    assert options_in_text("Anterior ST elevation.", options) == {"anterior st elevation"}
    assert options_in_text("after lunch", options) == set()
    assert options_in_text("af; st elevation", options) == {"af", "st elevation"}
    assert options_in_text("anything", []) == set()


def test_options_with_signs_are_found():
    options = ["st-t changes (non-specific)", "q wave"]
    assert options_in_text("ST-T changes (non-specific); q wave", options) == set(options)
