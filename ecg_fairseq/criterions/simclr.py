"""Criterion ``simclr``: two views of a segment find each other in the batch."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from torch import Tensor

from ecg_fairseq.criterions.cmsc import Cmsc, CmscConfig
from ecg_fairseq.networks.layers.contrastive_losses import simclr_loss


@dataclass
class SimClrConfig(CmscConfig):
    """Settings of the criterion."""


@register_criterion("simclr", dataclass=SimClrConfig)
class SimClr(Cmsc):
    """SimCLR on the encoder's pooled output; rows 2i and 2i + 1 are views of one segment."""

    items, views = "two_views", "augmented"

    def loss(self, embeddings: Tensor, sample: dict[str, Any]) -> tuple[Tensor, int]:
        """Return the summed loss of embeddings (2N, D) and its number of terms."""
        return simclr_loss(embeddings, self.temperature), len(embeddings)
