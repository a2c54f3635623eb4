"""fairseq model ``ecg_encoder_arcface``: any registered encoder finetuned to tell patients apart.

``networks/encoders/registry.py`` says how an encoder is added.
"""

from dataclasses import dataclass

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model

from ecg_fairseq.networks import trained  # noqa: F401  (makes the encoders of all systems known)
from ecg_fairseq.networks.encoders.classifier import EncoderArcFace
from ecg_fairseq.networks.encoders.config import EncoderFinetuningConfig
from ecg_fairseq.networks.encoders.finetuning import BuiltFromSettings


@dataclass
class EcgEncoderArcFaceConfig(FairseqDataclass, EncoderFinetuningConfig):
    """Settings of :class:`EncoderFinetuningConfig`; ``num_labels`` is the number of patients."""


@register_model("ecg_encoder_arcface", dataclass=EcgEncoderArcFaceConfig)
class EcgEncoderArcFaceModel(BuiltFromSettings, EncoderArcFace, BaseFairseqModel):
    """Adapter: the network itself, with fairseq's loading."""
