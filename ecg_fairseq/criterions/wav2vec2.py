"""Criterion ``wav2vec2``: the contrastive loss of hidden frames (fact sheet ecg-fm.md section 4).

Everything logged is a sum, so it adds up over processes, update_freq and resumes. ``loss_0`` is the
contrastive term, ``loss_1`` code diversity, ``loss_2`` the penalty on the convolutions' output.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, List, Optional

import torch
from fairseq import metrics
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.ecg_fm.losses import wav2vec2_loss
from ecg_fairseq.networks.ecg_fm.wav2vec2 import ContrastiveOutput
from ecg_fairseq.networks.layers.contrastive_losses import LossTerms

_SUMS = ("loss", "nsignals", "sample_size", "correct", "count", "num_batches")
LOSS_NUMBERS = {"contrastive": 0, "diversity": 1, "penalty": 2, "cmsc": 3}


@dataclass
class Wav2Vec2CriterionConfig(FairseqDataclass):
    """Settings of the criterion."""

    infonce: bool = field(
        default=False,
        metadata={"help": "cross-entropy over target and negatives instead of one by one"},
    )
    loss_weights: Optional[List[float]] = field(
        default=None, metadata={"help": "weights of code diversity and of the output penalty"}
    )
    log_keys: List[str] = field(
        default_factory=list,
        metadata={"help": "of prob_perplexity, code_perplexity, temp: what to log besides"},
    )


@register_criterion("wav2vec2", dataclass=Wav2Vec2CriterionConfig)
class Wav2Vec2Criterion(FairseqCriterion):
    """Contrastive loss, code diversity and output penalty, each summed over hidden frames."""

    def __init__(
        self,
        task: Any,
        infonce: bool = False,
        loss_weights: Optional[List[float]] = None,
        log_keys: Sequence[str] = (),
    ) -> None:
        super().__init__(task)
        self.infonce = infonce
        self.diversity_weight, self.penalty_weight = _two_weights(loss_weights)
        self.log_keys = list(log_keys)

    def forward(
        self, model: torch.nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return the summed loss, the number of hidden frames, and sums to log.

        Args:
            model: ``ecg_wav2vec2`` or ``wav2vec2_cmsc``.
            sample: with ``net_input`` of ``source`` (B, L, T) and perhaps ``padding_mask``.
            reduce: kept for fairseq's interface; the loss is always a sum.
        """
        output = model(**sample["net_input"])
        terms = self.terms(output, sample)
        return terms.total, terms.num_terms, self._log(output, terms)

    def terms(self, output: ContrastiveOutput, sample: dict[str, Any]) -> LossTerms:
        """Return the loss and its parts."""
        return wav2vec2_loss(output, self.infonce, self.diversity_weight, self.penalty_weight)

    def _log(self, output: ContrastiveOutput, terms: LossTerms) -> dict[str, Any]:
        logits = output.flat_logits.detach()
        # A row of equal logits has its maximum and its minimum at 0 and is not right.
        right = (logits.argmax(1) == 0) & (logits.argmin(1) != 0)
        log = {
            "loss": terms.total.detach(),
            "nsignals": len(output.logits),
            "sample_size": terms.num_terms,
            "correct": right.sum(),
            "count": len(logits),
            "num_batches": 1,
        }
        for name, part in terms.parts.items():
            log[f"loss_{LOSS_NUMBERS[name]}"] = part.detach()
        for key in self.log_keys:
            log[key] = _logged_value(output, key)
        return log

    @staticmethod
    def reduce_metrics(logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log losses (base 2, per hidden frame), accuracy, and means over batches of log_keys."""
        names = sorted({name for log in logging_outputs for name in log})
        sums = {name: sum(float(log.get(name, 0)) for log in logging_outputs) for name in names}
        frames = max(sums.get("sample_size", 0.0), 1.0)
        for name in names:
            if name.startswith("loss"):
                metrics.log_scalar(name, sums[name] / frames / math.log(2), frames, round=3)
            elif name not in _SUMS:
                mean = sums[name] / max(sums["num_batches"], 1.0)
                metrics.log_scalar(name, mean, sums["num_batches"], round=3)
        metrics.log_scalar_sum("nsignals", sums.get("nsignals", 0.0))
        count = max(sums.get("count", 0.0), 1.0)
        metrics.log_scalar("accuracy", sums.get("correct", 0.0) / count, count, round=5)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Every value logged is a sum."""
        return True


def _two_weights(weights: Optional[Sequence[float]]) -> tuple[float, float]:
    if not weights:
        return 0.0, 0.0
    if len(weights) > 2:
        raise EcgError(
            f"criterion.loss_weights={list(weights)} must hold one weight for both terms, or two: "
            "of code diversity and of the output penalty"
        )
    return float(weights[0]), float(weights[-1])


def _logged_value(output: ContrastiveOutput, key: str) -> Any:
    if key == "temp":
        return output.temperature
    if key not in ("prob_perplexity", "code_perplexity") or output.quantized is None:
        raise EcgError(
            f"criterion.log_keys: {key!r} is none of prob_perplexity, code_perplexity (both with "
            "model.quantize_targets=true) and temp"
        )
    return getattr(output.quantized, key).detach()
