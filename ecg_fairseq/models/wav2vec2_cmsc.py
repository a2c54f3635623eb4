"""fairseq model ``wav2vec2_cmsc``: ECG-FM in pretraining.

The network of ``ecg_wav2vec2``; its output also carries the pooled context that CMSC compares.
"""

from dataclasses import dataclass

from fairseq.models import register_model

from ecg_fairseq.models.ecg_wav2vec2 import EcgWav2Vec2Model, EcgWav2Vec2ModelConfig


@dataclass
class Wav2Vec2CmscModelConfig(EcgWav2Vec2ModelConfig):
    """Settings of :class:`Wav2Vec2Config`."""


@register_model("wav2vec2_cmsc", dataclass=Wav2Vec2CmscModelConfig)
class Wav2Vec2CmscModel(EcgWav2Vec2Model):
    """Adapter; see the module."""
