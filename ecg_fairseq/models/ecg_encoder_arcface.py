"""fairseq model ``ecg_encoder_arcface``: any registered encoder finetuned to tell patients apart.

``networks/encoders/registry.py`` says how an encoder is added.
"""

from dataclasses import dataclass
from typing import Any, Optional

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model

from ecg_fairseq.networks import trained  # noqa: F401  (makes the encoders of all systems known)
from ecg_fairseq.networks.encoders.checkpoint import PretrainedEncoder
from ecg_fairseq.networks.encoders.classifier import EncoderArcFace
from ecg_fairseq.networks.encoders.config import EncoderFinetuningConfig
from ecg_fairseq.networks.encoders.finetuning import build_finetuned, config_of, full_settings


@dataclass
class EcgEncoderArcFaceConfig(FairseqDataclass, EncoderFinetuningConfig):
    """Settings of :class:`EncoderFinetuningConfig`; ``num_labels`` is the number of patients."""


@register_model("ecg_encoder_arcface", dataclass=EcgEncoderArcFaceConfig)
class EcgEncoderArcFaceModel(EncoderArcFace, BaseFairseqModel):
    """Adapter: the network itself, with fairseq's loading."""

    @classmethod
    def build_model(cls, cfg: EcgEncoderArcFaceConfig, task: Any) -> "EcgEncoderArcFaceModel":
        """Build the network, with pretrained weights unless told otherwise."""
        return build_finetuned(cls, config_of(cfg))

    @staticmethod
    def settings_for(cfg: Any, pretrained: Optional[PretrainedEncoder]) -> dict[str, Any]:
        """Return the encoder's name and all its settings; see :func:`full_settings`."""
        return full_settings(config_of(cfg), pretrained)
