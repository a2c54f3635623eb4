"""Text metrics against the golden pairs and against hand-made cases."""

import json
import sys

import pytest

from ecg_fairseq.errors import MissingDependencyError, ScoreError
from ecg_fairseq.evaluation.answers.published_text_metrics import (
    heartllm_rouge,
    heartllm_sentence_bleu,
)
from ecg_fairseq.evaluation.answers.text_metrics import (
    corpus_bleu,
    mean_bert_score,
    mean_meteor,
    mean_rouge,
    text_scores,
)


@pytest.fixture(scope="module")
def golden(shared_dir):
    path = shared_dir / "golden" / "heartllm" / "text_metrics.json"
    return json.loads(path.read_text())


def test_heartllm_metrics_equal_the_golden_pairs(golden):
    for pair in golden["pairs"]:
        texts = pair["prediction"], pair["reference"]
        for name, value in heartllm_sentence_bleu(*texts).items():
            assert value == pytest.approx(pair[name.replace("_", "")], abs=1e-12), texts
        for name, values in heartllm_rouge(*texts).items():
            assert values == pytest.approx(pair["rouge"][name], abs=1e-9), texts


def test_meteor_equals_the_golden_pairs(golden):
    for pair in golden["pairs"]:
        scores = mean_meteor([pair["prediction"]], [pair["reference"]], use_wordnet=False)
        assert scores["meteor"] == pytest.approx(pair["meteor_no_wordnet"], abs=1e-12)
        assert scores["meteor_uses_wordnet"] is False
    texts = [[pair[side] for pair in golden["pairs"]] for side in ("prediction", "reference")]
    scores = mean_meteor(*texts, use_wordnet=False)
    assert scores["meteor"] == pytest.approx(golden["mean"]["meteor_no_wordnet"], abs=1e-12)


def test_perfect_short_answers():
    scores = text_scores(["yes", "No", "yes"], ["yes", "no", "yes"])
    assert scores["bleu_1"] == pytest.approx(1.0)
    assert scores["bleu_4"] == pytest.approx(1.0)
    assert scores["rouge_1"] == scores["rouge_l"] == 1.0
    assert scores["rouge_2"] == 0.0
    assert scores["meteor"] == pytest.approx(0.5)


def test_bleu_is_of_the_corpus():
    scores = corpus_bleu(["a b c d e", "x"], ["a b c d e", "y"])
    assert scores["bleu_1"] == pytest.approx(5 / 6)
    assert scores["bleu_4"] == pytest.approx((5 / 6) ** 0.25)
    assert "tok:13a" in scores["bleu_signature"]
    # A half-long answer is punished for its length.
    assert corpus_bleu(["a b"], ["a b c d"])["bleu_1"] == pytest.approx(2.718281828 ** (1 - 2))


def test_empty_answers_score_zero():
    scores = text_scores(["", ""], ["sinus rhythm", "none"])
    assert all(scores[name] == 0 for name in ("bleu_1", "rouge_1", "rouge_l", "meteor"))


def test_rouge_is_the_mean_f():
    scores = mean_rouge(["sinus rhythm", "v1"], ["sinus tachycardia", "v1"])
    assert scores["rouge_1"] == pytest.approx((0.5 + 1.0) / 2)


def test_lengths_must_agree():
    with pytest.raises(ScoreError, match="1 generated texts and 2 references"):
        mean_rouge(["a"], ["a", "b"])
    with pytest.raises(ScoreError, match="0 generated"):
        corpus_bleu([], [])


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("sacrebleu.metrics.bleu", corpus_bleu),
        ("rouge_score.rouge_scorer", mean_rouge),
        ("nltk.translate.meteor_score", mean_meteor),
        ("bert_score", lambda p, r: mean_bert_score(p, r, "any")),
    ],
)
def test_a_missing_package_is_named(monkeypatch, module, function):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        function(["a"], ["a"])
