"""fairseq model ``ecg_encoder_classifier``: a classifier over any registered encoder.

``networks/encoders/registry.py`` says how an encoder is added.
"""

from dataclasses import dataclass

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model

from ecg_fairseq.networks import trained  # noqa: F401  (makes the encoders of all systems known)
from ecg_fairseq.networks.encoders.classifier import EncoderClassifier
from ecg_fairseq.networks.encoders.config import EncoderFinetuningConfig
from ecg_fairseq.networks.encoders.finetuning import BuiltFromSettings


@dataclass
class EcgEncoderClassifierConfig(FairseqDataclass, EncoderFinetuningConfig):
    """Settings of :class:`EncoderFinetuningConfig`."""


@register_model("ecg_encoder_classifier", dataclass=EcgEncoderClassifierConfig)
class EcgEncoderClassifierModel(BuiltFromSettings, EncoderClassifier, BaseFairseqModel):
    """Adapter: the network itself, with fairseq's loading."""
