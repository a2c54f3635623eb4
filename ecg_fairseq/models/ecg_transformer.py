"""fairseq model ``ecg_transformer``: ECG-FM's encoder, pretrained by CMSC, SimCLR or 3KG."""

from dataclasses import dataclass
from typing import Any

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model

from ecg_fairseq.networks.ecg_fm.checkpoint import config_of
from ecg_fairseq.networks.ecg_fm.config import EcgTransformerConfig
from ecg_fairseq.networks.ecg_fm.network import EcgTransformer


@dataclass
class EcgTransformerModelConfig(FairseqDataclass, EcgTransformerConfig):
    """Settings of :class:`EcgTransformerConfig`."""


@register_model("ecg_transformer", dataclass=EcgTransformerModelConfig)
class EcgTransformerModel(EcgTransformer, BaseFairseqModel):
    """Adapter: the network itself, with fairseq's loading; keys are fairseq-signals'."""

    @classmethod
    def build_model(cls, cfg: EcgTransformerModelConfig, task: Any) -> "EcgTransformerModel":
        """Build the network."""
        return cls(config_of("ecg_transformer", cfg))
