"""wav2vec 2.0 for ECGs: tell a hidden frame's target from those of other hidden frames.

Source: fact sheet section 3.2. Similarities are computed as one product of all predictions with all
targets of a segment, from which those of the negatives are picked: the same numbers as with
negatives laid out one by one, in a fraction of the memory.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.ecg_fm.config import Wav2Vec2Config
from ecg_fairseq.networks.ecg_fm.encoder import EcgTransformer, EncodedEcg, gather_frames
from ecg_fairseq.networks.ecg_fm.masking import draw_negatives
from ecg_fairseq.networks.ecg_fm.quantiser import GumbelQuantiser, Quantised

_NORM_FLOOR = 1e-8


@dataclass(frozen=True)
class ContrastiveOutput:
    """What the losses need.

    Attributes:
        logits: (B, M, 1 + N): the target first, then N negatives; -inf for a negative that is the
            target. fairseq-signals lays them out as (1 + N, B, M).
        encoded: the encoder's output for the masked signal.
        quantised: the quantised targets, or None without quantiser.
        num_vars: vectors of the quantiser; 0 without.
        temperature: of the quantiser; 0 without.
    """

    logits: Tensor
    encoded: EncodedEcg
    quantised: Quantised | None
    num_vars: int
    temperature: float

    @property
    def flat_logits(self) -> Tensor:
        """Logits (M * B, 1 + N), frame by frame as in fairseq-signals; the right answer is 0."""
        return self.logits.transpose(0, 1).flatten(0, 1)


class EcgWav2Vec2(EcgTransformer):
    """The encoder with its contrastive head.

    Args:
        config: settings; checked here.
    """

    config: Wav2Vec2Config

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        channels, final = self.num_channels, config.prediction_dim
        self.quantizer = self.input_quantizer = self.project_inp = self.target_glu = None
        if config.quantize_targets:
            self.quantizer = _quantiser(config, channels, config.quantised_dim)
        if config.quantize_input:
            self._add_input_quantiser(config)
        self.project_q = nn.Linear(config.quantised_dim if self.quantizer else channels, final)
        if config.target_glu:
            self.target_glu = nn.Sequential(nn.Linear(final, final * 2), nn.GLU())
        self.final_proj = nn.Linear(config.encoder_embed_dim, final)
        for linear in (self.project_q, self.final_proj, self.target_glu and self.target_glu[0]):
            if linear is not None:
                nn.init.normal_(linear.weight, mean=0.0, std=0.02)
                nn.init.zeros_(linear.bias)

    def _add_input_quantiser(self, config: Wav2Vec2Config) -> None:
        width = config.encoder_embed_dim
        if config.same_quantizer:
            if self.quantizer is None or self.num_channels != width:
                raise EcgError(
                    "model.same_quantizer=true needs quantize_targets=true, and as many channels "
                    "in conv_feature_layers as encoder_embed_dim"
                )
            self.input_quantizer, inner = self.quantizer, config.quantised_dim
        else:
            inner = config.latent_dim if config.latent_dim > 0 else width
            self.input_quantizer = _quantiser(config, width, inner)
        self.project_inp = nn.Linear(inner, width)

    def forward(
        self,
        source: Tensor,
        padding_mask: Tensor | None = None,
        mask: Tensor | None = None,
        negatives: Tensor | None = None,
        **_: Any,
    ) -> ContrastiveOutput:
        """Hide frames and score their targets against negatives.

        Args:
            source: (B, L, T), z-scored.
            padding_mask: bool (B, T) or (B, L, T), True where padded, or None.
            mask: bool (B, F) of the frames to hide; None draws them.
            negatives: int64 (B, M, N), indices into the B * M hidden frames (into all B * F frames
                with ``negatives_from_everywhere``); None draws them.
        """
        encoded = self.encode(source, padding_mask, use_mask=self.config.apply_mask, mask=mask)
        predictions, targets = encoded.context, encoded.local_features
        if encoded.positions is not None:
            predictions = gather_frames(predictions, encoded.positions)
            targets = gather_frames(targets, encoded.positions)
        predictions = self.final_proj(predictions)
        quantised = None if self.quantizer is None else self.quantizer(targets)
        targets, codes = self._targets(targets, quantised)
        pool, pool_codes = targets, codes
        if self.config.negatives_from_everywhere and encoded.positions is not None:
            everywhere = encoded.local_features
            everywhere = everywhere if self.quantizer is None else self.quantizer(everywhere)
            pool, pool_codes = self._negative_pool(everywhere)
        logits = self._logits(predictions, (targets, codes), (pool, pool_codes), negatives)
        has_quantiser = quantised is not None
        return ContrastiveOutput(
            logits,
            encoded,
            quantised,
            self.quantizer.num_vars if has_quantiser else 0,
            self.quantizer.temperature if has_quantiser else 0.0,
        )
