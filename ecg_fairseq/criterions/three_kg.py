"""Criterion ``3kg``: two views of a patient find each other in the batch."""

from dataclasses import dataclass
from typing import Any

from fairseq.criterions import register_criterion
from torch import Tensor

from ecg_fairseq.criterions.cmsc import Cmsc, CmscConfig
from ecg_fairseq.networks.layers.contrastive_losses import three_kg_loss


@dataclass
class ThreeKgConfig(CmscConfig):
    """Settings of the criterion."""


@register_criterion("3kg", dataclass=ThreeKgConfig)
class ThreeKg(Cmsc):
    """3KG on the encoder's pooled output; rows of one patient are positive pairs."""

    items, views = "two_views", "3kg"

    def loss(self, embeddings: Tensor, sample: dict[str, Any]) -> tuple[Tensor, int]:
        """Return the summed loss of embeddings (B, D) and its number of terms."""
        return three_kg_loss(embeddings, sample["patient_id"], self.temperature)
