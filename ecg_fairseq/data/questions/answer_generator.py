"""What fairseq-generate calls: answers and closed-set scores as fairseq hypotheses."""

import logging
import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ecg_fairseq.evaluation.answers.predictions import Candidate
from ecg_fairseq.networks.language_model.answering import (
    DecodingOptions,
    generate_answers,
    score_candidates,
)
from ecg_fairseq.networks.language_model.prompt import IGNORED_LABEL
from ecg_fairseq.networks.language_model.text_tokenizer import TextTokenizer
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

logger = logging.getLogger(__name__)
Hypothesis = dict[str, Any]


class HasTextTokenizer(Protocol):
    """What knows a text tokenizer and the id space over it: the task."""

    @property
    def text_tokenizer(self) -> TextTokenizer:
        """The one in use now."""

    @property
    def vocabulary(self) -> EcgVocabulary:
        """Its rows among those of the model."""


class TextDictionary:
    """The face of a text tokenizer that fairseq's printing and scoring ask for.

    fairseq-generate takes it before it loads the checkpoint, which may bring another tokenizer: so
    the owner is asked each time.
    """

    def __init__(self, owner: HasTextTokenizer) -> None:
        self._owner = owner

    @property
    def vocabulary(self) -> EcgVocabulary:
        """The id space in use now."""
        return self._owner.vocabulary

    def __len__(self) -> int:
        return self.vocabulary.size

    def pad(self) -> int:
        """Row of padding."""
        return self.vocabulary.pad_id

    def eos(self) -> int:
        """Row that ends an answer."""
        return self.vocabulary.eos_id

    def bos(self) -> int:
        """Row that starts a sequence."""
        return self.vocabulary.eos_id if self.vocabulary.bos_id is None else self.vocabulary.bos_id

    def unk(self) -> int:
        """A row that no text holds: text tokenizers here can write every text."""
        return self.vocabulary.row_of(self.vocabulary.rows.special_names[0])

    def string(self, rows: Tensor, *arguments: Any, **options: Any) -> str:
        """Return the text among ``rows`` in one line; ECG and special rows are left out."""
        return self._owner.text_tokenizer.decode(self.vocabulary.text_rows(rows.tolist()))


class AnswerGenerator:
    """Turns a batch of prompts into fairseq hypotheses.

    The first hypothesis of a prompt is the free-text answer; behind it stand the candidates of its
    closed set, each with its summed log probability. fairseq prints them all as H-/D-/P- lines; the
    task writes the same answers to ``predictions.jsonl`` (:func:`written_answers`).

    Args:
        decoding: how free text is generated.
        closed_set: whether candidates are scored.
        eos_id: row that ends an answer; fairseq leaves it out of what it prints.
    """

    def __init__(self, decoding: DecodingOptions, closed_set: bool, eos_id: int) -> None:
        self.decoding = decoding
        self.closed_set = closed_set
        self.symbols_to_strip_from_output = {eos_id}

    @torch.no_grad()
    def generate(self, model: Any, sample: dict[str, Any]) -> list[list[Hypothesis]]:
        """Return the hypotheses of each prompt of a batch of :class:`AnswerQuestions`."""
        network = model.network.eval()
        prompts = sample["net_input"]
        keys = {"keys": sample.get("keys")} if self.decoding.do_sample else {}
        answers = generate_answers(
            network, prompts["src_tokens"], prompts["attention_mask"], self.decoding, **keys
        )
        hypotheses = [[_hypothesis(tokens, scores)] for tokens, scores in answers]
        if self.closed_set and sample["candidate_rows"]:
            self._add_candidates(network, sample, hypotheses)
        return hypotheses

    @staticmethod
    def _add_candidates(
        network: Any, sample: dict[str, Any], hypotheses: list[list[Hypothesis]]
    ) -> None:
        """Append each closed set in its written order."""
        batch = sample["candidates"]
        scores = score_candidates(network, batch)
        for place, row in enumerate(sample["candidate_rows"]):
            labels, segments = batch["labels"][place], batch["segment_ids"][place]
            for number, log_probabilities in enumerate(scores[place], start=1):
                tokens = labels[(segments == number) & (labels != IGNORED_LABEL)]
                hypotheses[row].append(_hypothesis(tokens, log_probabilities))


class CutAnswers:
    """Counts answers that reached the longest length without an end, and says so.

    Args:
        longest: tokens that an answer may have.
        eos_id: row that ends an answer; None where the prompt layout ends none.
    """

    def __init__(self, longest: int, eos_id: int | None) -> None:
        self.longest = longest
        self.eos_id = eos_id
        self.num_answers = 0
        self.num_cut = 0
        self.num_expected = 0

    def add(self, hypotheses: Sequence[Sequence[Hypothesis]]) -> None:
        """Take the answers of a batch; warn at the first that is cut and when all are there."""
        before = self.num_cut
        self.num_answers += len(hypotheses)
        if self.eos_id is not None:
            ends = [int(found[0]["tokens"][-1]) for found in hypotheses]
            self.num_cut += sum(end != self.eos_id for end in ends)
        is_last = self.num_answers == self.num_expected
        if self.num_cut and (before == 0 or is_last):
            logger.warning(
                f"{self.num_cut:,} of {self.num_answers:,} answers{'' if is_last else ' so far'} "
                f"did not end within {self.longest} tokens and are cut there; allow more with "
                "task.max_new_tokens (--max-new-tokens)"
            )


def written_answers(hypotheses: Sequence[Hypothesis], text: TextDictionary) -> list[Candidate]:
    """Return a prompt's hypotheses as fairseq prints them: text, and score to base 2."""
    return [
        Candidate(text.string(hypothesis["tokens"]), hypothesis["score"] / math.log(2))
        for hypothesis in hypotheses
    ]


def _hypothesis(tokens: Tensor, log_probabilities: Tensor) -> Hypothesis:
    """Return one hypothesis; its score is the sum of its tokens' natural log probabilities."""
    return {
        "tokens": tokens,
        "score": float(log_probabilities.sum()),
        "attention": None,
        "alignment": None,
        "positional_scores": log_probabilities.float().cpu().clone(),
    }
