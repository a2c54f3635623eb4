"""Phrases: each word used once, the longest first."""

import random
import re

import pytest

from ecg_fairseq.records.reports.phrases import (
    MARKS,
    WORD,
    PhraseMatcher,
    PhraseReplacer,
    replace_phrase,
)


def plainly(batches, text):
    """Replace phrase after phrase with a regular expression, as the description says."""
    phrases = [phrase for batch in batches for phrase in sorted(batch, key=len, reverse=True)]
    for rank, phrase in enumerate(phrases):
        before = r"(?<!\w)" if phrase[0].isalnum() else ""
        after = r"(?!\w)" if phrase[-1].isalnum() else ""
        text = re.sub(f"{before}{re.escape(phrase)}{after}", chr(0xF0000 + rank), text)
    return text


def test_equals_replacing_one_after_the_other():
    draw = random.Random(3)
    for _ in range(400):
        drawn = {"".join(draw.choices("ab ,", k=draw.randint(1, 5))).strip() for _ in range(9)}
        phrases = sorted(drawn - {""})
        cut = draw.randint(0, len(phrases))
        batches = [phrases[:cut], phrases[cut:]]
        text = "".join(draw.choices("ab ,_", k=30))
        matcher = PhraseMatcher(batches)
        assert matcher.mark(text, set(WORD.findall(text))) == plainly(batches, text)


def test_a_later_longer_phrase_wins():
    matcher = PhraseMatcher([["a b", "b c d"]])
    marked = matcher.mark("a b c d", {"a", "b", "c", "d"})
    assert [matcher.phrases[matcher.rank_of(mark)] for mark in MARKS.findall(marked)] == ["b c d"]
    assert MARKS.sub("", marked) == "a "


def test_what_was_put_in_is_not_replaced_again():
    replace = PhraseReplacer({"a": "b", "b": "a"})
    assert replace("a b ab", {"a", "b", "ab"}) == "b a ab"
    text = "c"
    assert replace(text, {"c"}) is text


@pytest.mark.parametrize(
    ("phrase", "expected"), [("aa", "x aaa"), ("(s)", "aa aaa"), ("a", "aa aaa")]
)
def test_phrases_end_at_words(phrase, expected):
    assert replace_phrase("aa aaa", phrase, "x") == expected


@pytest.mark.parametrize("batches", [[["a"], ["a"]], [[""]]])
def test_impossible_phrases(batches):
    with pytest.raises(ValueError, match=r"twice|empty"):
        PhraseMatcher(batches)
