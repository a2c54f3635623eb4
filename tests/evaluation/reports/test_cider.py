"""CIDEr-D against pycocoevalcap 1.2's scorer on the same words."""

import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.reports.cider import cider_d, words_of

PAIRS = [
    (
        "sinus rhythm. left axis deviation. normal ecg.",
        "sinus rhythm. left axis deviation. otherwise normal ecg.",
    ),
    (
        "atrial fibrillation with rapid ventricular response",
        "atrial fibrillation. st-t changes. anterior infarct.",
    ),
    ("sinus bradycardia", "sinus bradycardia"),
    ("", "sinus rhythm. first degree av block."),
    ("sinus rhythm sinus rhythm sinus rhythm lvh", "sinus rhythm. lvh."),
    (
        "normal ecg",
        "complete left bundle branch block, pvcs. sinus tachycardia. 1st degree av-block.",
    ),
]
# CiderScorer(n=4, sigma=6.0) of pycocoevalcap 1.2, given words_of() joined by blanks.
PYCOCOEVALCAP = [6.50283595159762, 1.3333333333333335, 5.0, 0.0, 2.899521031329767, 0.0]


def test_equals_the_common_implementation():
    scores = cider_d(*zip(*PAIRS, strict=True))
    assert scores == pytest.approx(PYCOCOEVALCAP, abs=1e-12)


def test_rarity_comes_from_the_references_alone():
    predictions, references = zip(*PAIRS, strict=True)
    changed = ["sinus bradycardia", *predictions[1:]]
    assert cider_d(changed, references)[1:] == pytest.approx(PYCOCOEVALCAP[1:], abs=1e-12)
    assert cider_d(["lvh"], ["lvh"]) == pytest.approx([0.0])  # one reference: nothing is rare


def test_words_keep_what_stands_inside_them():
    assert words_of("ST-T, V1/V2; rsr' Überdrehter 0.16 s.") == [
        *("st-t", "v1/v2", "rsr", "überdrehter", "0.16", "s")
    ]


@pytest.mark.parametrize("texts", [([], []), (["a"], ["a", "b"])])
def test_one_reference_each_is_needed(texts):
    with pytest.raises(ScoreError, match="one reference for each"):
        cider_d(*texts)
