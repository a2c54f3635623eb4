"""fairseq model ``arcface``: ECG-FM finetuned to tell people apart."""

from dataclasses import dataclass
from typing import Any, Optional

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model

from ecg_fairseq.networks.ecg_fm.checkpoint import adopted, build_finetuned, config_of
from ecg_fairseq.networks.ecg_fm.config import FinetuningConfig
from ecg_fairseq.networks.ecg_fm.finetuned import EcgArcFace
from ecg_fairseq.networks.encoders.checkpoint import PretrainedEncoder


@dataclass
class ArcFaceConfig(FairseqDataclass, FinetuningConfig):
    """Settings of :class:`FinetuningConfig`; ``num_labels`` is the number of people."""


@register_model("arcface", dataclass=ArcFaceConfig)
class ArcFaceModel(EcgArcFace, BaseFairseqModel):
    """Adapter: the network itself, with fairseq's loading; keys are fairseq-signals'."""

    @classmethod
    def build_model(cls, cfg: ArcFaceConfig, task: Any) -> "ArcFaceModel":
        """Build the network, with pretrained weights unless told otherwise."""
        return build_finetuned(cls, config_of("arcface", cfg))

    @staticmethod
    def settings_for(cfg: Any, pretrained: Optional[PretrainedEncoder]) -> dict[str, Any]:
        """Return what a pretrained encoder imposes; CheckpointError if it is not ECG-FM's."""
        return {} if pretrained is None else adopted(pretrained)
