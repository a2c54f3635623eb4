"""Text metrics as HeartLLM and ECG-Byte print them, for comparison with their tables only.

They differ from ``text_metrics.py``: BLEU is computed per text (nltk, smoothing method 1) and then
averaged, with weights (.33, .33, .33) for BLEU-3, and ROUGE is that of the PyPI package ``rouge``
1.0.1, which splits sentences on every full stop and compares sets of n-grams. Source: heartllm.md
section 5, ecg-byte.md section 3.6. Known quirk kept for parity: a perfect text of three tokens has
BLEU-4 0.56.
"""

import warnings
from collections.abc import Sequence

from ecg_fairseq.errors import MissingDependencyError

HEARTLLM_BLEU_WEIGHTS: dict[str, tuple[float, ...]] = {
    "bleu_1": (1.0,),
    "bleu_2": (0.5, 0.5),
    "bleu_3": (0.33, 0.33, 0.33),  # as published: they do not sum to 1
    "bleu_4": (0.25, 0.25, 0.25, 0.25),
}
_ROUGE_EPSILON = 1e-8
Sentences = list[list[str]]


def heartllm_sentence_bleu(prediction: str, reference: str) -> dict[str, float]:
    """Return HeartLLM's BLEU-1..4 of one text: white-space tokens, case kept.

    ECG-Byte's BLEU of one text is the ``bleu_4`` of this function.
    """
    try:
        from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    except ImportError as cause:
        raise MissingDependencyError(
            "BLEU of single texts needs nltk: pip install 'ecg-fairseq[metrics]'"
        ) from cause
    smoothing = SmoothingFunction().method1
    with warnings.catch_warnings():  # nltk warns of every text that shares no long n-gram
        warnings.simplefilter("ignore", UserWarning)
        return {
            name: float(
                sentence_bleu(
                    [reference.split()],
                    prediction.split(),
                    weights=weights,
                    smoothing_function=smoothing,
                )
            )
            for name, weights in HEARTLLM_BLEU_WEIGHTS.items()
        }


def heartllm_rouge(prediction: str, reference: str) -> dict[str, dict[str, float]]:
    """Return ``{"rouge-1" | "rouge-2" | "rouge-l": {"p", "r", "f"}}`` as package rouge 1.0.1 does.

    An empty prediction scores 0 throughout, as in HeartLLM.
    """
    generated, expected = _sentences(prediction), _sentences(reference)
    scores = {}
    for order in (1, 2):
        ours, theirs = _ngrams(generated, order), _ngrams(expected, order)
        scores[f"rouge-{order}"] = _precision_recall_f(len(ours & theirs), len(ours), len(theirs))
    common: set[str] = set()
    for sentence in expected:
        for other in generated:
            common |= set(_longest_common_subsequence(sentence, other))
    words = len(_ngrams(generated, 1)), len(_ngrams(expected, 1))
    scores["rouge-l"] = _precision_recall_f(len(common), *words)
    return scores


def _sentences(text: str) -> Sentences:
    """Split on every full stop, then on white space."""
    return [part.split() for part in text.split(".") if part]


def _ngrams(sentences: Sentences, order: int) -> set[tuple[str, ...]]:
    """Return the distinct n-grams; they run across sentences, as in the package."""
    words = [word for sentence in sentences for word in sentence]
    return {tuple(words[i : i + order]) for i in range(len(words) - order + 1)}


def _precision_recall_f(overlap: int, generated: int, expected: int) -> dict[str, float]:
    precision = overlap / generated if generated else 0.0
    recall = overlap / expected if expected else 0.0
    f_score = 2.0 * (precision * recall / (precision + recall + _ROUGE_EPSILON))
    return {"p": precision, "r": recall, "f": f_score}


def _longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Return one longest common subsequence; among several, the one that the package finds."""
    rows, columns = len(first), len(second)
    lengths = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            if first[i - 1] == second[j - 1]:
                lengths[i][j] = lengths[i - 1][j - 1] + 1
            else:
                lengths[i][j] = max(lengths[i - 1][j], lengths[i][j - 1])
    i, j, words = rows, columns, []
    while i and j:
        if first[i - 1] == second[j - 1]:
            words.append(first[i - 1])
            i, j = i - 1, j - 1
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return words[::-1]
