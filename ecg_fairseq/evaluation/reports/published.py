"""Report and answer metrics as HeartLLM prints them, for comparison with its tables only.

Sentence BLEU, ROUGE and METEOR of ``answers/published_text_metrics.py`` and nltk, each the mean
over reports; accuracy of answers by splitting at full stops. Fact sheet heartllm 5. Our own
figures differ (``text.py``), and the two never share a column.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecg_fairseq.evaluation.answers.predictions import Prediction
from ecg_fairseq.evaluation.answers.published_text_metrics import (
    heartllm_rouge,
    heartllm_sentence_bleu,
)
from ecg_fairseq.evaluation.answers.text_metrics import mean_meteor
from ecg_fairseq.records.questions.question import ANSWER_SEPARATOR

_SINGLE_TYPES = ("single-verify", "single-choose", "single-query")


def published_report_metrics(
    predictions: Sequence[str], references: Sequence[str]
) -> dict[str, Any]:
    """Return HeartLLM's figures of reports.

    Returns:
        ``bleu_1`` .. ``bleu_4``, ``rouge-1`` .. ``rouge-l`` with ``_p``, ``_r``, ``_f``, ``meteor``
        and whether it used WordNet, which the paper's run did: without it the figure is lower.
    """
    columns: dict[str, list[float]] = defaultdict(list)
    for prediction, reference in zip(predictions, references, strict=True):
        for name, value in heartllm_sentence_bleu(prediction, reference).items():
            columns[name].append(value)
        for name, parts in heartllm_rouge(prediction, reference).items():
            for part, value in parts.items():
                columns[f"{name}_{part}"].append(value)
    means = {name: float(np.mean(values)) for name, values in columns.items()}
    return {**means, **mean_meteor(predictions, references)}


def published_answer_accuracy(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Return HeartLLM's accuracy of each question type on one ECG; it has no overall figure.

    Right is an answer whose parts between full stops are, as a set, the reference's items: case
    counts, items are not stripped, a full stop at the end makes the answer wrong.
    """
    hits: dict[str, list[bool]] = defaultdict(list)
    for prediction in predictions:
        if prediction.question_type in _SINGLE_TYPES:
            expected = set(prediction.reference.split(ANSWER_SEPARATOR))
            hits[prediction.question_type].append(
                set(prediction.answer.strip().split(".")) == expected
            )
    return {name: float(np.mean(hits[name])) for name in _SINGLE_TYPES if name in hits}
