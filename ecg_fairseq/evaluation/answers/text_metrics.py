"""BLEU, ROUGE, METEOR and (optionally) BERTScore of generated texts; all values 0 to 1.

Definitions, stated because papers differ:

- BLEU-n: sacrebleu corpus BLEU of n-grams up to n, tokenizer 13a, lower-cased, exponential
  smoothing. Orders for which no answer is long enough are left out (``effective_order``): with
  one-word answers throughout, BLEU-4 equals BLEU-1 instead of being 0 by definition.
- ROUGE-1/2/L: rouge-score, F measure, no stemming, mean over questions, words of any script
  (``words.py``; of plain English the package's own). ROUGE-2 of a one-word answer is 0 even if the
  answer is right.
- METEOR: nltk, white-space tokens, lower-cased, Porter stems, mean over questions. Synonyms need
  nltk's WordNet corpus; without it exact and stem matches count only, and the result says so. The
  score of a right one-word answer is 0.5 by definition.

BLEU and METEOR know words by white space: of Chinese, Japanese or Thai read ROUGE.

The variants that other ECG systems print are in ``published_text_metrics.py``. Never mix columns.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ecg_fairseq.errors import MissingDependencyError, ScoreError
from ecg_fairseq.evaluation.answers.words import words_of

_INSTALL = "install the metrics with: pip install 'ecg-fairseq[metrics]'"


class _WordsOfAnyScript:
    """Stands for rouge-score's tokenizer, which drops all but a to z and digits."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        return words_of(text)


class _NoWordNet:
    """Stands for WordNet where the corpus is absent: no word has synonyms."""

    def synsets(self, word: str) -> list[Any]:
        """Return no synonym sets."""
        del word
        return []


def corpus_bleu(predictions: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Return ``bleu_1`` .. ``bleu_4`` and sacrebleu's ``bleu_signature`` (of BLEU-4)."""
    _check_lengths(predictions, references)
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as cause:
        raise MissingDependencyError(f"BLEU needs sacrebleu; {_INSTALL}") from cause
    scores: dict[str, Any] = {}
    for order in (1, 2, 3, 4):
        bleu = BLEU(lowercase=True, max_ngram_order=order, effective_order=True)
        result = bleu.corpus_score(list(predictions), [list(references)])
        scores[f"bleu_{order}"] = result.score / 100.0
        scores["bleu_signature"] = str(bleu.get_signature())
    return scores


def mean_rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return the mean F of ROUGE: ``rouge_1``, ``rouge_2``, ``rouge_l``."""
    _check_lengths(predictions, references)
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as cause:
        raise MissingDependencyError(f"ROUGE needs rouge-score; {_INSTALL}") from cause
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_WordsOfAnyScript())

    def score_pair(prediction: str, reference: str) -> tuple[float, ...]:
        result = scorer.score(reference, prediction)
        return tuple(result[name].fmeasure for name in ("rouge1", "rouge2", "rougeL"))

    means = _mean_over_pairs(score_pair, predictions, references)
    return dict(zip(("rouge_1", "rouge_2", "rouge_l"), means, strict=True))


def mean_meteor(
    predictions: Sequence[str], references: Sequence[str], use_wordnet: bool | None = None
) -> dict[str, Any]:
    """Return ``meteor`` (mean) and ``meteor_uses_wordnet``.

    Args:
        predictions: generated texts.
        references: one reference for each.
        use_wordnet: True or False to demand or refuse synonyms; None takes them if the corpus is
            installed. Nothing is downloaded.

    Raises:
        MissingDependencyError: WordNet was demanded and is absent, or nltk is.
    """
    _check_lengths(predictions, references)
    try:
        from nltk.translate.meteor_score import single_meteor_score
    except ImportError as cause:
        raise MissingDependencyError(f"METEOR needs nltk; {_INSTALL}") from cause
    wordnet: Any = None if use_wordnet is False else _installed_wordnet()
    if wordnet is None and use_wordnet:
        raise MissingDependencyError(
            "METEOR with synonyms needs nltk's WordNet corpus; install it with: "
            "python -m nltk.downloader wordnet"
        )
    synonyms = _NoWordNet() if wordnet is None else wordnet

    def score_pair(prediction: str, reference: str) -> tuple[float, ...]:
        return (single_meteor_score(reference.split(), prediction.split(), wordnet=synonyms),)

    (mean,) = _mean_over_pairs(score_pair, predictions, references)
    return {"meteor": mean, "meteor_uses_wordnet": wordnet is not None}


def _installed_wordnet() -> Any:
    """Return nltk's WordNet reader, or None where the corpus is not installed."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return None
    return wordnet


def mean_bert_score(
    predictions: Sequence[str], references: Sequence[str], model: str, num_layers: int | None = None
) -> dict[str, Any]:
    """Return the mean BERTScore: ``bertscore_precision``, ``_recall``, ``_f1`` and ``_model``.

    Args:
        predictions: generated texts.
        references: one reference for each.
        model: Hugging Face name or local folder of the encoder; it must be stated with the number.
        num_layers: the layer whose states are compared; None takes the package's choice, which it
            has for well-known model names only.

    Raises:
        MissingDependencyError: bert-score is not installed.
        ScoreError: the encoder cannot be loaded.
    """
    _check_lengths(predictions, references)
    try:
        import bert_score
    except ImportError as cause:
        raise MissingDependencyError(
            "BERTScore needs bert-score; install it with: pip install 'ecg-fairseq[bertscore]'"
        ) from cause
    try:
        parts = bert_score.score(
            list(predictions), list(references), model_type=model, num_layers=num_layers
        )
    except (OSError, KeyError, ValueError) as cause:
        raise ScoreError(
            f"BERTScore cannot use the model {model!r}: {cause}; give a local folder or a model "
            "name that the hub has, and the number of layers for an unknown one"
        ) from cause
    names = ("bertscore_precision", "bertscore_recall", "bertscore_f1")
    scores: dict[str, Any] = {name: float(p.mean()) for name, p in zip(names, parts, strict=True)}
    return {**scores, "bertscore_model": model}


def text_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Return BLEU-1..4, ROUGE-1/2/L and METEOR of a whole set, with how they were computed."""
    return {
        **corpus_bleu(predictions, references),
        **mean_rouge(predictions, references),
        **mean_meteor(predictions, references),
    }


def _mean_over_pairs(
    score_pair: Callable[[str, str], tuple[float, ...]],
    predictions: Sequence[str],
    references: Sequence[str],
) -> list[float]:
    """Average a pair score; equal pairs, frequent among short answers, are scored once."""
    pairs = list(zip(predictions, references, strict=True))
    known = {pair: score_pair(*pair) for pair in set(pairs)}
    return [float(mean) for mean in np.mean([known[pair] for pair in pairs], axis=0)]


def _check_lengths(predictions: Sequence[str], references: Sequence[str]) -> None:
    if not predictions or len(predictions) != len(references):
        raise ScoreError(
            f"{len(predictions)} generated texts and {len(references)} references were given; one "
            "reference for each of at least one text is expected"
        )
