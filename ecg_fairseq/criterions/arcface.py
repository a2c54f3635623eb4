"""Criterion ``arcface``: additive angular margin between patients (ecg-fm.md section 4)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq import metrics
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from ecg_fairseq.networks.layers.classification_losses import arcface_loss


@dataclass
class ArcFaceCriterionConfig(FairseqDataclass):
    """Settings of the criterion."""

    scale: float = field(default=32.0, metadata={"help": "multiplies cosines"})
    margin: float = field(default=0.5, metadata={"help": "angle to win by, in radians"})


@register_criterion("arcface", dataclass=ArcFaceCriterionConfig)
class ArcFace(FairseqCriterion):
    """ArcFace loss summed over segments; accuracy is that of the nearest direction."""

    def __init__(self, task: Any, scale: float = 32.0, margin: float = 0.5) -> None:
        super().__init__(task)
        self.scale, self.margin = scale, margin

    def forward(
        self, model: torch.nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return the summed loss, the number of segments, and sums to log.

        Args:
            model: ``arcface``.
            sample: with ``net_input`` of ``source`` (B, L, T) and ``label`` (B,) or (B, 1).
            reduce: kept for fairseq's interface; the loss is always a sum.
        """
        cosines = model(**sample["net_input"]).logits
        labels = sample["label"].long().view(-1)
        loss = arcface_loss(cosines, labels, self.scale, self.margin)
        log = {
            "loss": loss.detach(),
            "sample_size": len(labels),
            "nsignals": len(labels),
            "correct": (cosines.detach().argmax(1) == labels).sum(),
        }
        return loss, len(labels), log

    @staticmethod
    def reduce_metrics(logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log the loss (base 2, per segment) and the accuracy."""
        loss, terms, correct = (
            sum(float(log.get(name, 0)) for log in logging_outputs)
            for name in ("loss", "sample_size", "correct")
        )
        metrics.log_scalar("loss", loss / max(terms, 1.0) / math.log(2), terms, round=3)
        metrics.log_scalar("accuracy", correct / max(terms, 1.0), terms, round=5)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Every value logged is a sum."""
        return True
