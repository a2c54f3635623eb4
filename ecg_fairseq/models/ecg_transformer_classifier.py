"""fairseq model ``ecg_transformer_classifier``: ECG-FM finetuned to labels."""

from dataclasses import dataclass
from typing import Any, Optional

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model

from ecg_fairseq.networks.ecg_fm.checkpoint import adopted, build_finetuned, config_of
from ecg_fairseq.networks.ecg_fm.config import FinetuningConfig
from ecg_fairseq.networks.ecg_fm.finetuned import EcgTransformerClassifier
from ecg_fairseq.networks.encoders.checkpoint import PretrainedEncoder


@dataclass
class EcgTransformerClassifierConfig(FairseqDataclass, FinetuningConfig):
    """Settings of :class:`FinetuningConfig`."""


@register_model("ecg_transformer_classifier", dataclass=EcgTransformerClassifierConfig)
class EcgTransformerClassifierModel(EcgTransformerClassifier, BaseFairseqModel):
    """Adapter: the network itself, with fairseq's loading; keys are fairseq-signals'."""

    @classmethod
    def build_model(
        cls, cfg: EcgTransformerClassifierConfig, task: Any
    ) -> "EcgTransformerClassifierModel":
        """Build the network, with pretrained weights unless told otherwise."""
        return build_finetuned(cls, config_of("ecg_transformer_classifier", cfg))

    @staticmethod
    def settings_for(cfg: Any, pretrained: Optional[PretrainedEncoder]) -> dict[str, Any]:
        """Return what a pretrained encoder imposes; CheckpointError if it is not ECG-FM's."""
        return {} if pretrained is None else adopted(pretrained)
