"""Criterion ``wav2vec2_with_cmsc``: ECG-FM's joint loss (fact sheet ecg-fm.md section 4).

``loss_0`` to ``loss_2`` are those of ``wav2vec2``, ``loss_3`` is CMSC on the masked segments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, List, Optional

from fairseq.criterions import register_criterion

from ecg_fairseq.criterions.cmsc import CmscConfig
from ecg_fairseq.criterions.wav2vec2 import Wav2Vec2Criterion, Wav2Vec2CriterionConfig
from ecg_fairseq.networks.ecg_fm.losses import wav2vec2_with_cmsc_loss
from ecg_fairseq.networks.ecg_fm.wav2vec2 import ContrastiveOutput
from ecg_fairseq.networks.layers.contrastive_losses import LossTerms


@dataclass
class Wav2Vec2WithCmscConfig(Wav2Vec2CriterionConfig, CmscConfig):
    """Settings of both losses, and what joins them."""

    cmsc_weights: Optional[float] = field(
        default=None, metadata={"help": "weight of CMSC (default: 1)"}
    )


@register_criterion("wav2vec2_with_cmsc", dataclass=Wav2Vec2WithCmscConfig)
class Wav2Vec2WithCmsc(Wav2Vec2Criterion):
    """Contrastive loss of hidden frames, plus CMSC between segments of a recording."""

    items = "cmsc_pairs"

    def __init__(
        self,
        task: Any,
        infonce: bool = False,
        loss_weights: Optional[List[float]] = None,
        log_keys: Sequence[str] = (),
        cmsc_weights: Optional[float] = None,
        temp: float = 0.1,
    ) -> None:
        super().__init__(task, infonce, loss_weights, log_keys)
        self.cmsc_weight = 1.0 if cmsc_weights is None else float(cmsc_weights)
        self.temperature = temp

    def terms(self, output: ContrastiveOutput, sample: dict[str, Any]) -> LossTerms:
        """Return the loss and its parts; the sample names patients and segments of its rows."""
        return wav2vec2_with_cmsc_loss(
            output,
            sample["patient_id"],
            sample["segment"],
            super().terms(output, sample),
            self.cmsc_weight,
            self.temperature,
        )
