"""Criterion ``ecg_answer_cross_entropy``: next-token loss on answers only.

Returns the sum over answer tokens and their number, as fairseq's trainer wants it; everything
logged is a sum, so it adds up over processes, update_freq and resumes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fairseq import metrics
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor
from torch.nn.functional import cross_entropy

from ecg_fairseq.networks.language_model.prompt import IGNORED_LABEL

_SUMMED = (
    "loss",
    "ntokens",
    "nsentences",
    "sample_size",
    "right_tokens",
    "answers",
    "right_answers",
)


@dataclass
class EcgAnswerCrossEntropyConfig(FairseqDataclass):
    """This criterion has no settings."""


@register_criterion("ecg_answer_cross_entropy", dataclass=EcgAnswerCrossEntropyConfig)
class EcgAnswerCrossEntropy(FairseqCriterion):
    """Cross-entropy over the labelled tokens; accuracy per token and per whole answer."""

    def forward(
        self, model: torch.nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return summed loss, number of answer tokens, and sums to log.

        Args:
            model: gives logits (B, S', V) for the positions asked for.
            sample: a batch of :class:`TrainingQuestions`.
            reduce: kept for fairseq's interface; the loss is always a sum.
        """
        labels = sample["labels"][:, 1:]
        # Only columns in which some row has a label need logits: with a 128 k vocabulary that is
        # most of the memory.
        columns = (labels != IGNORED_LABEL).any(dim=0).nonzero().squeeze(1)
        logits = model(**sample["net_input"], logits_to_keep=columns)
        labels = labels[:, columns]
        loss = cross_entropy(
            logits.float().flatten(0, 1),
            labels.flatten(),
            ignore_index=IGNORED_LABEL,
            reduction="sum",
        )
        sums = self._counts(logits.detach(), labels, sample, columns)
        sums["loss"] = loss.detach()
        return loss, sample["ntokens"], sums

    @staticmethod
    def _counts(
        logits: Tensor, labels: Tensor, sample: dict[str, Any], columns: Tensor
    ) -> dict[str, Any]:
        """Count right tokens and answers that are right in every token."""
        counted = labels != IGNORED_LABEL
        right = (logits.argmax(-1) == labels) & counted
        segments = sample["net_input"].get("segment_ids")
        if segments is None:
            keys = torch.ones_like(labels)
        else:
            keys = segments[:, 1:][:, columns].clamp_min(0)
        width = int(keys.max()) + 1
        rows = torch.arange(len(labels), device=labels.device)[:, None]
        keys = (keys + rows * width)[counted]
        tokens = torch.bincount(keys, minlength=len(labels) * width)
        right_tokens = torch.bincount(keys, right[counted].double(), minlength=len(labels) * width)
        return {
            "ntokens": sample["ntokens"],
            "nsentences": sample["nsentences"],
            "sample_size": sample["ntokens"],
            "right_tokens": right.sum(),
            "answers": (tokens > 0).sum(),
            "right_answers": ((tokens > 0) & (right_tokens == tokens)).sum(),
        }

    @staticmethod
    def reduce_metrics(logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log loss (base 2, per answer token), perplexity, token and answer accuracy.

        Answer accuracy is under teacher forcing: an answer counts when every one of its tokens is
        the likeliest, which for greedy decoding means that it would be generated.
        """
        sums = {name: float(sum(float(log[name]) for log in logging_outputs)) for name in _SUMMED}
        tokens, answers = max(sums["sample_size"], 1.0), max(sums["answers"], 1.0)
        metrics.log_scalar("loss", sums["loss"] / tokens / math.log(2), tokens, round=4)
        metrics.log_derived("ppl", lambda meters: float(2 ** min(meters["loss"].avg, 64.0)))
        accuracy = 100.0 * sums["right_tokens"] / tokens
        metrics.log_scalar("token_accuracy", accuracy, tokens, round=2)
        whole = 100.0 * sums["right_answers"] / answers
        metrics.log_scalar("answer_accuracy", whole, answers, round=2)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Every value logged is a sum."""
        return True
