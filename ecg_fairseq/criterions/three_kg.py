"""Criterion ``3kg``: two views of a recording find each other in the batch.

Published 3KG pairs all recordings of a patient. As in fairseq-signals, batches call the recording
``patient_id`` here, so that pairs are of one recording; only where files name a patient and no
recording (``.mat`` files without ``idx``) are pairs of that patient.
"""

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
    """3KG on the encoder's pooled output; rows of one recording are positive pairs."""

    items, views = "two_views", "3kg"

    def loss(self, embeddings: Tensor, sample: dict[str, Any]) -> tuple[Tensor, int]:
        """Return the summed loss of embeddings (B, D) and its number of terms."""
        return three_kg_loss(embeddings, sample["patient_id"], self.temperature)
