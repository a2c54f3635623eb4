"""What the words of a split mean for its text tokenizer: its training, and what it cannot write."""

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.networks.language_model.text_tokenizer import TextTokenizer, train_text_tokenizer
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.questions.question import Question

logger = logging.getLogger(__name__)


def train_on_corpus(manifest: Manifest, vocab_size: int) -> TextTokenizer:
    """Train the text tokenizer on the training split's questions and answers.

    Args:
        manifest: with questions.
        vocab_size: most ids it may have.
    """
    questions = manifest.questions("train")
    places, counts = np.unique(questions.columns.alike, return_counts=True)
    texts: Counter[str] = Counter()
    for place, count in zip(places.tolist(), counts.tolist(), strict=True):
        question = questions[place]
        for text in (question.question, question.answer_text, *(question.options or [])):
            texts[text] += count
    return train_text_tokenizer(texts, vocab_size)


def say_losses(text: TextTokenizer, questions: Sequence[str], answers: Sequence[str]) -> None:
    """Warn of words that the tokenizer cannot write, such as letters it has not or changes."""
    for what, texts in (("questions", questions), ("answers", answers)):
        sentence = text.loss_in_words(texts, what)
        if sentence:
            logger.warning(sentence)


def refuse_equal_candidates(
    question: Question, texts: Sequence[str], candidates: Sequence[tuple[int, ...]]
) -> None:
    """Refuse a closed set of which two answers are the same tokens: their scores would be equal.

    Args:
        question: whose closed set it is.
        texts: its answers.
        candidates: their ids.

    Raises:
        ManifestError: names both answers.
    """
    first: dict[tuple[int, ...], str] = {}
    for text, ids in zip(texts, candidates, strict=True):
        other = first.setdefault(ids, text)
        if other != text:
            raise ManifestError(
                f"question {question.id!r}: the text tokenizer writes {other!r} and {text!r} with "
                "the same tokens, so the model could not choose between them; write the options "
                "in letters that it knows, or choose another text tokenizer"
            )


def say_long_answers(lengths: Sequence[int], longest: int) -> None:
    """Warn of references that are longer than an answer may get.

    Args:
        lengths: tokens of every reference, its end token included.
        longest: tokens that an answer may have.
    """
    num_long = sum(length > longest for length in lengths)
    if num_long:
        logger.warning(
            f"{num_long:,} of {len(lengths):,} reference answers have more than {longest} tokens "
            f"(up to {max(lengths)}), so no answer can equal them; allow more with "
            "task.max_new_tokens (--max-new-tokens)"
        )
