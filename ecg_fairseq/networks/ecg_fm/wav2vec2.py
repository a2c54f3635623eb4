"""wav2vec 2.0 for ECGs: tell a hidden frame's target from those of other hidden frames.

Source: fact sheet section 3.2. Similarities are computed as one product of all predictions with all
candidates, from which those of the negatives are picked: the same numbers as with negatives laid
out one by one, in a fraction of the memory. A negative with the target's codes is the target: codes
are compared, where fairseq compares projected floats, which rounding can tell apart.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.ecg_fm.config import Wav2Vec2Config
from ecg_fairseq.networks.ecg_fm.network import EcgTransformer, EncodedEcg, gather_frames
from ecg_fairseq.networks.layers.gumbel_quantizer import GumbelQuantizer, Quantized
from ecg_fairseq.networks.layers.masking import draw_negatives

_NORM_FLOOR = 1e-8


@dataclass(frozen=True)
class ContrastiveOutput:
    """What the losses need.

    Attributes:
        logits: (B, M, 1 + N): the target first, then N negatives; -inf for a negative that is the
            target. fairseq-signals lays them out as (1 + N, B, M).
        encoded: the encoder's output for the masked signal.
        quantized: the quantized targets, or None without quantizer.
        num_vars: vectors of the quantizer; 0 without.
        temperature: of the quantizer; 0 without.
    """

    logits: Tensor
    encoded: EncodedEcg
    quantized: Quantized | None
    num_vars: int
    temperature: float

    @property
    def flat_logits(self) -> Tensor:
        """Logits (M * B, 1 + N), frame by frame as in fairseq-signals; the right answer is 0."""
        return self.logits.transpose(0, 1).flatten(0, 1)


@dataclass(frozen=True)
class _Candidates:
    """Projected frames (B, P, final) and what tells equal ones apart, int64 (B, P)."""

    frames: Tensor
    identity: Tensor


class EcgWav2Vec2(EcgTransformer):
    """The encoder with its contrastive head.

    Args:
        config: settings; checked here.
    """

    config: Wav2Vec2Config

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        channels, final = self.num_channels, config.prediction_dim
        self.quantizer: GumbelQuantizer | None = None
        self.input_quantizer: GumbelQuantizer | None = None
        self.project_inp: nn.Linear | None = None
        self.target_glu: nn.Sequential | None = None
        if config.quantize_targets:
            self.quantizer = _quantizer(config, channels, config.quantized_dim)
        self.project_q = _linear(config.quantized_dim if self.quantizer else channels, final)
        if config.quantize_input:
            self._add_input_quantizer(config)
        if config.target_glu:
            self.target_glu = nn.Sequential(_linear(final, final * 2), nn.GLU())
        self.final_proj = _linear(config.encoder_embed_dim, final)

    def _add_input_quantizer(self, config: Wav2Vec2Config) -> None:
        width = config.encoder_embed_dim
        if config.same_quantizer:
            if self.quantizer is None or self.num_channels != width:
                raise EcgError(
                    "model.same_quantizer=true needs quantize_targets=true, and as many channels "
                    "in conv_feature_layers as encoder_embed_dim"
                )
            self.input_quantizer, inner = self.quantizer, config.quantized_dim
        else:
            inner = config.latent_dim if config.latent_dim > 0 else width
            self.input_quantizer = _quantizer(config, width, inner)
        self.project_inp = _linear(inner, width)

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
        # Half precision would cost the similarities two digits.
        with torch.autocast(source.device.type, enabled=False):
            predictions = self.final_proj(_hidden(encoded.frames, encoded).float())
            targets, quantized = self._candidates(_hidden(encoded.local_features, encoded))
            pool = targets
            if self.config.negatives_from_everywhere and encoded.positions is not None:
                pool = self._candidates(encoded.local_features)[0]
            if negatives is None:
                negatives = self._draw_negatives(encoded, targets, pool)
            negatives = negatives.to(source.device, non_blocking=True)
            logits = self._logits(_unit(predictions), targets, pool, negatives)
        num_vars = 0 if self.quantizer is None else self.quantizer.num_vars
        temperature = 0.0 if self.quantizer is None else self.quantizer.temperature
        return ContrastiveOutput(logits, encoded, quantized, num_vars, temperature)

    def _before_masking(self, frames: Tensor) -> Tensor:
        """Quantize the frames that the Transformer reads, if wanted."""
        if self.input_quantizer is None or self.project_inp is None:
            return frames
        return self.project_inp(self.input_quantizer(frames).frames)

    def _candidates(self, local: Tensor) -> tuple[_Candidates, Quantized | None]:
        """Quantize and project local features (B, P, C)."""
        local = local.float()
        if self.quantizer is None:
            _, identity = torch.unique(local.flatten(0, 1), dim=0, return_inverse=True)
            return _Candidates(self._project(local), identity.view(local.shape[:2])), None
        quantized = self.quantizer(local)
        identity = self._identity(quantized.codes)
        return _Candidates(self._project(quantized.frames), identity), quantized

    def _identity(self, codes: Tensor) -> Tensor:
        """Return one number for the codes (..., groups) of all groups."""
        identity = codes[..., 0]
        for group in range(1, codes.shape[-1]):
            identity = identity * self.config.latent_vars + codes[..., group]
        return identity

    def _project(self, frames: Tensor) -> Tensor:
        """Return unit vectors (..., final) of frames."""
        frames = self.project_q(frames)
        if self.target_glu is not None:
            frames = self.target_glu(frames)
        return _unit(frames)

    def _draw_negatives(
        self, encoded: EncodedEcg, targets: _Candidates, pool: _Candidates
    ) -> Tensor:
        """Draw negatives (B, M, N) on the CPU."""
        num_rows, num_targets = targets.identity.shape
        own = torch.arange(num_targets).expand(num_rows, -1)
        if pool is not targets and encoded.positions is not None:
            own = encoded.positions.cpu()
        return draw_negatives(
            own,
            pool.identity.shape[1],
            self.config.num_negatives,
            self.config.cross_sample_negatives,
        )

    def _logits(
        self, predictions: Tensor, targets: _Candidates, pool: _Candidates, negatives: Tensor
    ) -> Tensor:
        """Return logits (B, M, 1 + N) of unit predictions (B, M, final)."""
        positive = (predictions * targets.frames).sum(-1, keepdim=True)
        is_same = pool.identity.flatten()[negatives] == targets.identity.unsqueeze(-1)
        if pool is not targets and self.quantizer is None:
            # Numbers of two calls of unique cannot be compared.
            is_same = torch.zeros_like(is_same)
        if self.config.cross_sample_negatives == 0:
            similarity = predictions @ pool.frames.transpose(1, 2)
            rows = torch.arange(len(negatives), device=negatives.device).view(-1, 1, 1)
            similarity = similarity.gather(2, negatives - rows * pool.identity.shape[1])
        else:
            similarity = predictions.flatten(0, 1) @ pool.frames.flatten(0, 1).t()
            similarity = similarity.gather(1, negatives.flatten(0, 1)).view(negatives.shape)
        logits = [positive, similarity.masked_fill(is_same, -torch.inf)]
        if self.config.codebook_negatives and self.quantizer is not None:
            logits.append(self._codebook_similarity(self.quantizer, predictions, targets))
        return torch.cat(logits, -1) / self.config.logit_temp

    def _codebook_similarity(
        self, quantizer: GumbelQuantizer, predictions: Tensor, targets: _Candidates
    ) -> Tensor:
        """Return similarities (B, M, N) with random combinations of codes."""
        shape = (*targets.identity.shape, self.config.codebook_negatives)
        vectors, codes = quantizer.draw(shape)
        similarity = (predictions.unsqueeze(2) * self._project(vectors)).sum(-1)
        is_same = self._identity(codes) == targets.identity.unsqueeze(-1)
        return similarity.masked_fill(is_same, -torch.inf)

    def set_num_updates(self, num_updates: int) -> None:
        """Cool the quantizers down."""
        for quantizer in (self.quantizer, self.input_quantizer):
            if quantizer is not None:
                quantizer.set_num_updates(num_updates)


def _hidden(frames: Tensor, encoded: EncodedEcg) -> Tensor:
    """Return the hidden ones of frames (B, F, C), or all when none is hidden."""
    if encoded.positions is None:
        return frames
    return gather_frames(frames, encoded.positions)


def _unit(frames: Tensor) -> Tensor:
    """Return frames of length 1."""
    return frames / frames.norm(dim=-1, keepdim=True).clamp_min(_NORM_FLOOR)


def _linear(num_in: int, num_out: int) -> nn.Linear:
    """Return a linear layer with BERT's initial weights."""
    linear = nn.Linear(num_in, num_out)
    nn.init.normal_(linear.weight, mean=0.0, std=0.02)
    nn.init.zeros_(linear.bias)
    return linear


def _quantizer(config: Wav2Vec2Config, num_in: int, width: int) -> GumbelQuantizer:
    first, last, factor = config.latent_temp
    return GumbelQuantizer(
        num_in, config.latent_vars, config.latent_groups, width, (first, last, factor)
    )
