"""ECG-FM's encoder: convolutions, masking, position convolution, Transformer, pooling.

Source: fact sheet section 3.1. Parameters have fairseq-signals' names. This is the model
``ecg_transformer``; :mod:`wav2vec2` adds the contrastive head, :mod:`finetuned` the other ones.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.ecg_fm.config import EcgTransformerConfig
from ecg_fairseq.networks.ecg_fm.convolutions import ConvFeatureExtractor, parse_conv_layers
from ecg_fairseq.networks.encoders.encoder import EncodedSignal
from ecg_fairseq.networks.layers.masking import SpanRule, draw_spans, masked_positions
from ecg_fairseq.networks.layers.transformer import (
    PositionConvolution,
    TransformerEncoder,
    TransformerSizes,
)


@dataclass(frozen=True)
class EncodedEcg(EncodedSignal):
    """What the encoder gives for a batch; frames are the Transformer's output.

    Attributes:
        local_features: (B, F, C), normalized output of the convolutions, never masked.
        features_penalty: mean square of the convolutions' raw output, a scalar.
        positions: int64 (B, M), the hidden frames of each row, or None when none is.
        attention: weights (B, layers, F, F) averaged over heads, or None.
    """

    local_features: Tensor
    features_penalty: Tensor
    positions: Tensor | None
    attention: Tensor | None


def mean_of_nonzero(frames: Tensor, padding: Tensor | None) -> Tensor:
    """Return the mean (B, D) of frames (B, F, D), as fairseq-signals takes it.

    It divides by the number of entries of each feature that are not 0, and the released classifiers
    were trained so: the mean over frames, unless a feature is exactly 0.

    Args:
        frames: (B, F, D).
        padding: bool (B, F), True where padded, or None.
    """
    if padding is not None:
        frames = frames.masked_fill(padding[..., None], 0.0)
    return frames.sum(1) / (frames != 0).sum(1).clamp_min(1)


class EcgTransformer(nn.Module):
    """The encoder; an :class:`~ecg_fairseq.networks.encoders.encoder.Encoder` with attention.

    Args:
        config: settings; checked here.
    """

    def __init__(self, config: EcgTransformerConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        layers = parse_conv_layers(config.conv_feature_layers)
        self.num_channels = layers[-1][0]
        width = config.encoder_embed_dim
        if config.apply_mask:
            self.mask_emb = nn.Parameter(torch.rand(width))
        self.encoder = TransformerEncoder(_transformer_sizes(config))
        self.feature_extractor = ConvFeatureExtractor(
            layers, config.in_d, config.extractor_mode, config.conv_bias
        )
        self.post_extract_proj = None
        if self.num_channels != width:
            self.post_extract_proj = nn.Linear(self.num_channels, width)
            nn.init.normal_(self.post_extract_proj.weight, mean=0.0, std=0.02)
            nn.init.zeros_(self.post_extract_proj.bias)
        self.conv_pos = PositionConvolution(width, config.conv_pos, config.conv_pos_groups)
        self.layer_norm = nn.LayerNorm(self.num_channels)
        self.dropout_input = nn.Dropout(config.dropout_input)
        self.dropout_features = nn.Dropout(config.dropout_features)

    @property
    def width(self) -> int:
        """Width D of frames and pooled vectors."""
        return self.config.encoder_embed_dim

    @property
    def leads(self) -> int:
        """Number of leads L that it reads."""
        return self.config.in_d

    @property
    def min_samples(self) -> int:
        """Shortest segment T: what one frame sees."""
        return self.feature_extractor.receptive_field

    @property
    def frame_step(self) -> int:
        """Samples between the starts of two frames."""
        return self.feature_extractor.frame_step

    def attention(self, signal: Tensor) -> Tensor:
        """Return weights (B, layers, F, F), averaged over heads, for signals (B, L, T).

        Raises:
            EcgError: no layer ran, which only layer drop in training does.
        """
        found = self.encode(signal, need_weights=True).attention
        if found is None:
            raise EcgError("every layer was dropped; ask a network in evaluation mode")
        return found

    def forward(self, source: Tensor, padding_mask: Tensor | None = None, **_: Any) -> Any:
        """Encode signals; frames are masked when ``apply_mask`` is set.

        Args:
            source: (B, L, T), z-scored.
            padding_mask: bool (B, T) or (B, L, T), True where padded, or None.
        """
        return self.encode(source, padding_mask, use_mask=self.config.apply_mask)

    def encode(
        self,
        signal: Tensor,
        padding: Tensor | None = None,
        use_mask: bool = False,
        mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> EncodedEcg:
        """Encode signals.

        Args:
            signal: (B, L, T), z-scored.
            padding: bool (B, T) or (B, L, T), True where padded, or None.
            use_mask: hide frames.
            mask: bool (B, F) of the frames to hide; None draws them.
            need_weights: also return attention weights.
        """
        features = self._convolve(signal)
        penalty = features.float().pow(2).mean()
        padded = None
        if padding is not None and bool(padding.any()):
            padded = self.feature_extractor.frame_padding(padding, features.shape[2])
        features = self.layer_norm(features.transpose(1, 2))
        local_features = self.dropout_features(features)
        frames = features if self.post_extract_proj is None else self.post_extract_proj(features)
        frames = self._before_masking(self.dropout_input(frames))
        positions = None
        if use_mask:
            frames, positions = self._hide(frames, padded, mask)
        if padded is not None and not self.config.padding_reaches_positions:
            frames = frames.masked_fill(padded.unsqueeze(-1), 0.0)
        frames = frames + self.conv_pos(frames)
        want_weights = need_weights or self.config.saliency
        context, weights = self.encoder(frames, padded, want_weights)
        return EncodedEcg(
            frames=context,
            padding=padded,
            pooled=mean_of_nonzero(context, padded),
            local_features=local_features,
            features_penalty=penalty,
            positions=positions,
            attention=torch.stack(weights, 1) if weights else None,
        )

    def _convolve(self, source: Tensor) -> Tensor:
        """Return frames (B, C, F); the gradient is scaled, or not computed at all.

        Saliency asks for the gradient of the signal, which ``feature_grad_mult`` leaves whole: it
        is a device of training, and would make what is explained smaller or nothing.
        """
        factor = self.config.feature_grad_mult
        if factor <= 0 and not source.requires_grad:
            with torch.no_grad():
                return self.feature_extractor(source)
        features = self.feature_extractor(source)
        is_explained = source.requires_grad and not self.training
        if factor not in (0.0, 1.0) and features.requires_grad and not is_explained:
            features.register_hook(lambda gradient: gradient * factor)
        return features

    def _before_masking(self, frames: Tensor) -> Tensor:
        """Change frames (B, F, D) before they are hidden; nothing here."""
        return frames

    def _hide(
        self, frames: Tensor, padding: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Put ``mask_emb`` into hidden frames, and zeros into hidden channels."""
        config, positions = self.config, None
        if mask is None and config.mask_prob > 0:
            rule = SpanRule(
                config.mask_prob,
                config.mask_length,
                config.mask_selection,
                config.mask_other,
                config.no_mask_overlap,
                config.mask_min_space,
            )
            on_cpu = None if padding is None else padding.cpu()
            mask = draw_spans(frames.shape[0], frames.shape[1], rule, on_cpu)
        if mask is not None:
            positions = masked_positions(mask.cpu()).to(frames.device, non_blocking=True)
            on_device = mask.to(frames.device, non_blocking=True).unsqueeze(-1)
            frames = torch.where(on_device, self.mask_emb.to(frames.dtype), frames)
        if config.mask_channel_prob > 0:
            rule = SpanRule(
                config.mask_channel_prob,
                config.mask_channel_length,
                config.mask_channel_selection,
                config.mask_channel_other,
                config.no_mask_channel_overlap,
                config.mask_channel_min_space,
            )
            channels = draw_spans(frames.shape[0], frames.shape[2], rule).to(frames.device)
            frames = frames.masked_fill(channels.unsqueeze(1), 0.0)
        return frames, positions

    def set_num_updates(self, num_updates: int) -> None:
        """Tell the network how far training is; nothing depends on it here."""


def _transformer_sizes(config: EcgTransformerConfig) -> TransformerSizes:
    return TransformerSizes(
        num_layers=config.encoder_layers,
        width=config.encoder_embed_dim,
        hidden_width=config.encoder_ffn_embed_dim,
        num_heads=config.encoder_attention_heads,
        is_norm_first=config.layer_norm_first,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        activation_dropout=config.activation_dropout,
        layer_drop=config.encoder_layerdrop,
        use_checkpoints=config.checkpoint_activations,
        is_compiled=config.compile_layers,
    )


def gather_frames(frames: Tensor, positions: Tensor) -> Tensor:
    """Return the frames (B, M, C) at positions (B, M) of frames (B, F, C)."""
    return frames.gather(1, positions.unsqueeze(-1).expand(-1, -1, frames.shape[-1]))
