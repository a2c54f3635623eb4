"""ECG-FM finetuned: the classifier and ArcFace, as fairseq-signals builds them (section 3.4).

Both mask frames in training where ``apply_mask`` is set, and pool by :func:`mean_of_nonzero` after
dropout on frames; keys are fairseq-signals'.
"""

from torch import Tensor, nn

from ecg_fairseq.networks.ecg_fm.config import FinetuningConfig
from ecg_fairseq.networks.ecg_fm.network import EcgTransformer, EncodedEcg, mean_of_nonzero
from ecg_fairseq.networks.encoders.classifier import (
    EncoderArcFace,
    EncoderClassifier,
    FinetunedEncoder,
)
from ecg_fairseq.networks.encoders.encoder import EncodedSignal


class MeanReadOut(nn.Module):
    """Dropout on frames, then their mean.

    Args:
        dropout: share of entries of frames set to 0 in training.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, encoded: EncodedSignal) -> Tensor:
        """Return embeddings (B, D)."""
        return mean_of_nonzero(self.dropout(encoded.frames), encoded.padding)


class FinetunedEcgTransformer(FinetunedEncoder):
    """What both share.

    Args:
        config: of encoder and head.
    """

    encoder: EcgTransformer

    def __init__(self, config: FinetuningConfig) -> None:
        config.check()
        super().__init__(
            EcgTransformer(config),
            MeanReadOut(config.final_dropout),
            config.num_labels,
            config.freeze_finetune_updates,
        )
        self.config = config

    def encode(self, source: Tensor, padding: Tensor | None) -> EncodedEcg:
        """Return the encoder's output; frames are hidden in training only."""
        use_mask = self.training and self.config.apply_mask
        return self.encoder.encode(source, padding, use_mask=use_mask)


class EcgTransformerClassifier(FinetunedEcgTransformer, EncoderClassifier):
    """One linear layer on the embedding."""


class EcgArcFace(FinetunedEcgTransformer, EncoderArcFace):
    """Cosines with one learned direction a patient; the loss adds the margin."""
