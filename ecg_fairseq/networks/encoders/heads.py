"""Finetuned networks: a classifier, and identification with ArcFace (fact sheet section 3.4)."""

import contextlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecg_fairseq.networks.ecg_fm.config import FinetuningConfig
from ecg_fairseq.networks.ecg_fm.encoder import EcgTransformer, EncodedEcg, pool


@dataclass(frozen=True)
class FinetunedOutput:
    """What a finetuned network gives.

    Attributes:
        logits: (B, K); for identification the cosines with each person's kernel.
        pooled: (B, D), the segment's embedding.
        encoded: the encoder's output.
    """

    logits: Tensor
    pooled: Tensor
    encoded: EncodedEcg


class FinetunedEcgTransformer(nn.Module, ABC):
    """The encoder, dropout and pooling, under a head.

    Args:
        config: of encoder and head.
    """

    def __init__(self, config: FinetuningConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.encoder = EcgTransformer(config)
        self.final_dropout = nn.Dropout(config.final_dropout)
        self.num_updates = 0

    def forward(
        self,
        source: Tensor,
        padding_mask: Tensor | None = None,
        need_weights: bool = False,
        **_: Any,
    ) -> FinetunedOutput:
        """Score signals.

        Args:
            source: (B, L, T), z-scored.
            padding_mask: bool (B, T) or (B, L, T), True where padded, or None.
            need_weights: also return attention weights.
        """
        is_frozen = self.training and self.num_updates < self.config.freeze_finetune_updates
        with torch.no_grad() if is_frozen else contextlib.nullcontext():
            encoded = self.encoder.encode(
                source,
                padding_mask,
                use_mask=self.training and self.config.apply_mask,
                need_weights=need_weights,
            )
        pooled = pool(self.final_dropout(encoded.context), encoded.padding)
        return FinetunedOutput(self.score(pooled), pooled, encoded)

    @abstractmethod
    def score(self, pooled: Tensor) -> Tensor:
        """Return logits (B, K) of embeddings (B, D)."""

    def set_num_updates(self, num_updates: int) -> None:
        """Tell the network how far training is."""
        self.num_updates = num_updates


class EcgTransformerClassifier(FinetunedEcgTransformer):
    """One linear layer on the embedding."""

    def __init__(self, config: FinetuningConfig) -> None:
        super().__init__(config)
        self.proj = nn.Linear(config.encoder_embed_dim, config.num_labels)
        nn.init.xavier_uniform_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def score(self, pooled: Tensor) -> Tensor:
        """Return logits (B, K) of embeddings (B, D)."""
        return self.proj(pooled)


class EcgArcFace(FinetunedEcgTransformer):
    """Cosines with one learned direction a person.

    The loss (:func:`losses.arcface`) adds the margin. Directions start uniform on the sphere;
    fairseq-signals normalises its start along the other axis, which changes nothing else.
    """

    def __init__(self, config: FinetuningConfig) -> None:
        super().__init__(config)
        self.kernel = nn.Parameter(
            functional.normalize(torch.randn(config.num_labels, config.encoder_embed_dim), dim=1)
        )

    def score(self, pooled: Tensor) -> Tensor:
        """Return cosines (B, K) of embeddings (B, D)."""
        with torch.autocast(pooled.device.type, enabled=False):
            embedding = functional.normalize(pooled.float(), dim=1)
            cosines = embedding @ functional.normalize(self.kernel.float(), dim=1).t()
        return cosines.clamp(-1.0, 1.0)
