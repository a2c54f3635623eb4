"""CIDEr-D: how much of what is said about few recordings a generated report shares with its own.

Vedantam, Zitnick and Parikh, CVPR 2015 (arXiv 1411.5726), equation 7: n-grams of 1 to 4 words are
weighted by how rare they are among the references, compared by clipped cosine, damped by the
difference in length (sigma 6), and multiplied by 10. One reference a report. As in the authors'
program, the length of a text is its number of word pairs.

The only common implementation needs Java for its word splitting, so this is our own; it equals
that implementation on the same words. The words are ours: see :func:`words_of`.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ecg_fairseq.errors import ScoreError

_MOST_WORDS = 4
_SIGMA = 6.0
_SCALE = 10.0
_WORD = re.compile(r"\w+(?:[-/'.]\w+)*")
NGram = tuple[str, ...]


def words_of(text: str) -> list[str]:
    """Return lower-case words; punctuation between words is dropped, inside a word it stays.

    >>> words_of("Sinus rhythm. ST-T changes, 1st degree.")
    ['sinus', 'rhythm', 'st-t', 'changes', '1st', 'degree']
    """
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def cider_d(predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Return float64 (N,): CIDEr-D of each report, 0 to 10.

    How rare an n-gram is is counted over ``references``; all reports of a test split belong in one
    call. With a single reference, or where all are equal, nothing is rare and the score is 0.

    Raises:
        ScoreError: there is no text, or not one reference for each.
    """
    if not predictions or len(predictions) != len(references):
        raise ScoreError(
            f"{len(predictions)} reports and {len(references)} references were given; one "
            "reference for each of at least one report is expected"
        )
    expected = [_ngram_counts(text) for text in references]
    documents: Counter[NGram] = Counter()
    for counts in expected:
        documents.update(counts.keys())
    log_total = math.log(len(references))
    rarity = {gram: log_total - math.log(count) for gram, count in documents.items()}
    known: dict[tuple[str, str], float] = {}
    for prediction, reference, counts in zip(predictions, references, expected, strict=True):
        if (prediction, reference) not in known:
            generated = _ngram_counts(prediction)
            known[prediction, reference] = _similarity(generated, counts, rarity, log_total)
    pairs = zip(predictions, references, strict=True)
    return np.array([known[pair] for pair in pairs], dtype=np.float64)


def _ngram_counts(text: str) -> Counter[NGram]:
    words = words_of(text)
    return Counter(
        tuple(words[start : start + order])
        for order in range(1, _MOST_WORDS + 1)
        for start in range(len(words) - order + 1)
    )


def _similarity(
    generated: Counter[NGram],
    expected: Counter[NGram],
    rarity: dict[NGram, float],
    unseen: float,
) -> float:
    """Return the mean over the orders; ``unseen`` is the rarity of what no reference says."""
    ours = _weighted(generated, rarity, unseen)
    theirs = _weighted(expected, rarity, unseen)
    lengths = [
        sum(count for gram, count in counts.items() if len(gram) == 2)
        for counts in (generated, expected)
    ]
    damping = math.exp(-((lengths[0] - lengths[1]) ** 2) / (2.0 * _SIGMA**2))
    total = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        shared = sum(
            min(weight, other.get(gram, 0.0)) * other.get(gram, 0.0)
            for gram, weight in mine.items()
        )
        norms = _norm(mine) * _norm(other)
        total += shared / norms if norms else shared
    return _SCALE * damping * total / _MOST_WORDS


def _weighted(
    counts: Counter[NGram], rarity: dict[NGram, float], unseen: float
) -> list[dict[NGram, float]]:
    """Return, for each order, n-gram -> count times rarity."""
    orders: list[dict[NGram, float]] = [{} for _ in range(_MOST_WORDS)]
    for gram, count in counts.items():
        orders[len(gram) - 1][gram] = count * rarity.get(gram, unseen)
    return orders


def _norm(weights: dict[NGram, float]) -> float:
    return math.sqrt(sum(weight * weight for weight in weights.values()))
