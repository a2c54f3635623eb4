"""Words of generated reports against those of the references.

Definitions, stated because papers differ; all values but CIDEr-D are 0 to 1:

- ``bleu_1`` .. ``bleu_4``: of the corpus, as ``answers/text_metrics.py`` defines it (sacrebleu).
- ``sentence_bleu_1`` .. ``_4``: sacrebleu's BLEU of each report (13a, lower-cased, exponential
  smoothing, effective order), then the mean. It is not corpus BLEU.
- ``rouge_1``, ``rouge_2``, ``rouge_l``: mean F, as ``answers/text_metrics.py`` defines it.
- ``meteor``: exact and stem matches only, so that the figure does not depend on whether WordNet is
  installed: no corpus is needed and none is downloaded. Papers that used WordNet are higher.
- ``cider_d``: 0 to 10, rarity counted over the references (``cider.py``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import MissingDependencyError
from ecg_fairseq.evaluation.answers.text_metrics import corpus_bleu, mean_meteor, mean_rouge
from ecg_fairseq.evaluation.reports.cider import cider_d

ORDERS = (1, 2, 3, 4)
CORPUS_METRICS = tuple(f"bleu_{order}" for order in ORDERS)
METEOR_MATCHING = "exact and stem"


@dataclass(frozen=True, eq=False)
class ReportTexts:
    """Text metrics of N reports.

    Attributes:
        corpus: ``bleu_1`` .. ``bleu_4`` of the whole set.
        by_report: metric -> float64 (N,); the figure of the set is the mean.
    """

    corpus: dict[str, float]
    by_report: dict[str, np.ndarray]

    def figures(self) -> dict[str, float]:
        """Return every metric of the set."""
        means = {name: float(values.mean()) for name, values in self.by_report.items()}
        return {**self.corpus, **means}


def compare_texts(predictions: Sequence[str], references: Sequence[str]) -> ReportTexts:
    """Compare each report with its reference.

    Raises:
        ScoreError: there is no text, or not one reference for each.
        MissingDependencyError: sacrebleu, rouge-score or nltk are not installed.
    """
    corpus = corpus_bleu(predictions, references)
    columns = {
        **_by_pair(_sentence_bleu(), predictions, references),
        **_by_pair(_rouge, predictions, references),
        **_by_pair(_meteor, predictions, references),
        "cider_d": cider_d(predictions, references),
    }
    return ReportTexts({name: corpus[name] for name in CORPUS_METRICS}, columns)


def _by_pair(
    score: Callable[[str, str], dict[str, float]],
    predictions: Sequence[str],
    references: Sequence[str],
) -> dict[str, np.ndarray]:
    """Score each pair of texts; equal pairs are scored once."""
    pairs = list(zip(predictions, references, strict=True))
    known = {pair: score(*pair) for pair in dict.fromkeys(pairs)}
    names = known[pairs[0]].keys()
    return {name: np.array([known[pair][name] for pair in pairs]) for name in names}


def _sentence_bleu() -> Callable[[str, str], dict[str, float]]:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as cause:
        raise MissingDependencyError(
            "BLEU needs sacrebleu; install the metrics with: pip install 'ecg-fairseq[metrics]'"
        ) from cause
    scorers = {
        order: BLEU(lowercase=True, max_ngram_order=order, effective_order=True) for order in ORDERS
    }

    def score(prediction: str, reference: str) -> dict[str, float]:
        return {
            f"sentence_bleu_{order}": scorer.sentence_score(prediction, [reference]).score / 100.0
            for order, scorer in scorers.items()
        }

    return score


def _rouge(prediction: str, reference: str) -> dict[str, float]:
    return mean_rouge([prediction], [reference])


def _meteor(prediction: str, reference: str) -> dict[str, float]:
    return {"meteor": mean_meteor([prediction], [reference], use_wordnet=False)["meteor"]}
