"""Criterion ``cmsc``: first and second segments of a recording find each other in the batch.

Published as CLOCS; the formula is in fact sheet ecg-fm.md section 4. Upstream's stand-alone
criterion crashes; the number of rows is the sample size here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from fairseq import metrics
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from ecg_fairseq.networks.layers.contrastive_losses import cmsc_loss

# fairseq-signals' settings that do nothing here; see compat.pass_over_retired_settings.
RETIRED = MappingProxyType(
    {
        "criterion.eps": (..., "cosine similarities divide by norms as torch does"),
        "criterion.all_gather": (
            False,
            "embeddings are compared within one process's batch, as ECG-FM does; raise "
            "dataset.batch_size instead",
        ),
    }
)


@dataclass
class CmscConfig(FairseqDataclass):
    """Settings of the criterions that compare embeddings."""

    temp: float = field(default=0.1, metadata={"help": "divides cosine similarities"})
    retired = RETIRED


@register_criterion("cmsc", dataclass=CmscConfig)
class Cmsc(FairseqCriterion):
    """CMSC on the encoder's pooled output; summed over rows."""

    items = "cmsc_pairs"

    def __init__(self, task: Any, temp: float = 0.1) -> None:
        super().__init__(task)
        self.temperature = temp

    def forward(
        self, model: torch.nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return the summed loss, its number of terms, and sums to log.

        Args:
            model: ``ecg_transformer``.
            sample: with ``net_input`` of ``source`` (B, L, T), ``patient_id`` and ``segment`` (B,).
            reduce: kept for fairseq's interface; the loss is always a sum.
        """
        embeddings = model(**sample["net_input"]).pooled
        loss, num_terms = self.loss(embeddings, sample)
        log = {"loss": loss.detach(), "nsignals": len(embeddings), "sample_size": num_terms}
        return loss, num_terms, log

    def loss(self, embeddings: Tensor, sample: dict[str, Any]) -> tuple[Tensor, int]:
        """Return the summed loss of embeddings (B, D) and its number of terms."""
        num_rows = len(embeddings)
        mean = cmsc_loss(embeddings, sample["patient_id"], sample["segment"], self.temperature)
        return mean * num_rows, num_rows

    @staticmethod
    def reduce_metrics(logging_outputs: Sequence[dict[str, Any]]) -> None:
        """Log the loss (base 2, per term)."""
        loss, terms, signals = (
            sum(float(log.get(name, 0)) for log in logging_outputs)
            for name in ("loss", "sample_size", "nsignals")
        )
        metrics.log_scalar("loss", loss / max(terms, 1.0) / math.log(2), terms, round=3)
        metrics.log_scalar_sum("nsignals", signals)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Every value logged is a sum."""
        return True
