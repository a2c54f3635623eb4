"""fairseq model ``ecg_wav2vec2``: wav2vec 2.0 for ECGs (fairseq owns the name ``wav2vec2``)."""

from dataclasses import dataclass
from typing import Any

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model

from ecg_fairseq.networks.ecg_fm.checkpoint import config_of
from ecg_fairseq.networks.ecg_fm.config import Wav2Vec2Config
from ecg_fairseq.networks.ecg_fm.wav2vec2 import EcgWav2Vec2


@dataclass
class EcgWav2Vec2ModelConfig(FairseqDataclass, Wav2Vec2Config):
    """Settings of :class:`Wav2Vec2Config`."""


@register_model("ecg_wav2vec2", dataclass=EcgWav2Vec2ModelConfig)
class EcgWav2Vec2Model(EcgWav2Vec2, BaseFairseqModel):
    """Adapter: the network itself, with fairseq's loading; keys are fairseq-signals'."""

    @classmethod
    def build_model(cls, cfg: EcgWav2Vec2ModelConfig, task: Any) -> "EcgWav2Vec2Model":
        """Build the network."""
        return cls(config_of("ecg_wav2vec2", cfg))
