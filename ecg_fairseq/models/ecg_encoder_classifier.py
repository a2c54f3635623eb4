"""fairseq model ``ecg_encoder_classifier``: a classifier over any registered encoder.

``networks/encoders/registry.py`` says how an encoder is added.
"""

from dataclasses import dataclass
from typing import Any, Optional

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model

from ecg_fairseq.networks import trained  # noqa: F401  (makes the encoders of all systems known)
from ecg_fairseq.networks.encoders.checkpoint import PretrainedEncoder
from ecg_fairseq.networks.encoders.classifier import EncoderClassifier
from ecg_fairseq.networks.encoders.config import EncoderFinetuningConfig
from ecg_fairseq.networks.encoders.finetuning import build_finetuned, config_of, full_settings


@dataclass
class EcgEncoderClassifierConfig(FairseqDataclass, EncoderFinetuningConfig):
    """Settings of :class:`EncoderFinetuningConfig`."""


@register_model("ecg_encoder_classifier", dataclass=EcgEncoderClassifierConfig)
class EcgEncoderClassifierModel(EncoderClassifier, BaseFairseqModel):
    """Adapter: the network itself, with fairseq's loading."""

    @classmethod
    def build_model(cls, cfg: EcgEncoderClassifierConfig, task: Any) -> "EcgEncoderClassifierModel":
        """Build the network, with pretrained weights unless told otherwise."""
        return build_finetuned(cls, config_of(cfg))

    @staticmethod
    def settings_for(cfg: Any, pretrained: Optional[PretrainedEncoder]) -> dict[str, Any]:
        """Return the encoder's name and all its settings; see :func:`full_settings`."""
        return full_settings(config_of(cfg), pretrained)
