"""fairseq model ``fsq_autoencoder``: HeartLLM's tokenizer (criterion fsq_reconstruction)."""

from dataclasses import dataclass
from typing import Any

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model

from ecg_fairseq.networks.heartllm.config import FsqAutoencoderConfig, config_of
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder


@dataclass
class FsqAutoencoderModelConfig(FairseqDataclass, FsqAutoencoderConfig):
    """Settings of :class:`FsqAutoencoderConfig`."""


@register_model("fsq_autoencoder", dataclass=FsqAutoencoderModelConfig)
class FsqAutoencoderModel(FsqAutoencoder, BaseFairseqModel):
    """Adapter: the network itself, with fairseq's loading; keys are HeartLLM's."""

    @classmethod
    def build_model(cls, cfg: FsqAutoencoderModelConfig, task: Any) -> "FsqAutoencoderModel":
        """Build the network."""
        return cls(config_of(cfg))
