"""Transformer encoder with a convolution for positions (fact sheet ecg-fm.md section 3.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

_INIT_SPREAD = 0.02


@dataclass(frozen=True)
class TransformerSizes:
    """What a stack of layers is made of.

    Attributes:
        num_layers: of the stack.
        width: D.
        hidden_width: of the feed-forward block.
        num_heads: H, divides D.
        is_norm_first: normalize before each block instead of after it.
        dropout: after attention and feed-forward block.
        attention_dropout: on attention weights.
        activation_dropout: after the feed-forward activation.
        layer_drop: chance of skipping a layer in training.
        use_checkpoints: recompute layers in backward to save memory.
        is_compiled: ``torch.compile`` each layer.
    """

    num_layers: int
    width: int
    hidden_width: int
    num_heads: int
    is_norm_first: bool = False
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    layer_drop: float = 0.0
    use_checkpoints: bool = False
    is_compiled: bool = False


class PositionConvolution(nn.Module):
    """Grouped, weight-normed convolution whose output is added to the frames.

    Args:
        width: D.
        kernel: frames it sees.
        groups: of the convolution.
    """

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
        nn.init.normal_(conv.weight, mean=0.0, std=(4.0 / (kernel * width)) ** 0.5)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        conv = parametrizations.weight_norm(conv, name="weight", dim=2)
        self.pos_conv = nn.Sequential(conv)
        # An even kernel with padding k/2 gives one frame too many.
        self.num_surplus = 1 - kernel % 2

    def forward(self, frames: Tensor) -> Tensor:
        """Return positions (B, F, D) of frames (B, F, D)."""
        positions = self.pos_conv(frames.transpose(1, 2))
        if self.num_surplus:
            positions = positions[..., : -self.num_surplus]
        return functional.gelu(positions).transpose(1, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention through torch's fused kernels."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.k_proj = _linear(width, width)
        self.v_proj = _linear(width, width)
        self.q_proj = _linear(width, width)
        self.out_proj = _linear(width, width)

    def forward(
        self, x: Tensor, allowed: Tensor | None, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Args:
            x: (B, F, D).
            allowed: bool (B, 1, 1, F), True for keys that may be looked at; None for all.
            need_weights: also return weights, at the price of the fused kernel.

        Returns:
            output (B, F, D) and weights (B, F, F) averaged over heads, or None.
        """
        query, key, value = (
            projection(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            scores = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
            if allowed is not None:
                scores = scores.masked_fill(~allowed, float("-inf"))
            weights = scores.softmax(-1)
            mixed, mean = functional.dropout(weights, dropout) @ value, weights.mean(1)
        else:
            mixed = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=allowed, dropout_p=dropout
            )
            mean = None
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), mean


class EncoderLayer(nn.Module):
    """Attention and feed-forward block, normalized before or after each."""

    def __init__(self, sizes: TransformerSizes) -> None:
        super().__init__()
        width = sizes.width
        self.is_norm_first = sizes.is_norm_first
        self.self_attn = SelfAttention(width, sizes.num_heads, sizes.attention_dropout)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = _linear(width, sizes.hidden_width)
        self.fc2 = _linear(sizes.hidden_width, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(sizes.dropout)
        self.activation_dropout = nn.Dropout(sizes.activation_dropout)

    def forward(
        self, x: Tensor, allowed: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return the layer's output (B, F, D) and its attention weights, as the attention does."""
        if self.is_norm_first:
            mixed, weights = self.self_attn(self.self_attn_layer_norm(x), allowed, need_weights)
            x = x + self.dropout(mixed)
            return x + self._feed_forward(self.final_layer_norm(x)), weights
        mixed, weights = self.self_attn(x, allowed, need_weights)
        x = self.self_attn_layer_norm(x + self.dropout(mixed))
        return self.final_layer_norm(x + self._feed_forward(x)), weights

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.activation_dropout(functional.gelu(self.fc1(x)))
        return self.dropout(self.fc2(hidden))


class TransformerEncoder(nn.Module):
    """A stack of layers with one more norm: before a post-norm stack, after a pre-norm one."""

    def __init__(self, sizes: TransformerSizes) -> None:
        super().__init__()
        self.is_norm_first = sizes.is_norm_first
        self.layer_drop = sizes.layer_drop
        self.use_checkpoints = sizes.use_checkpoints
        self.layers = nn.ModuleList(EncoderLayer(sizes) for _ in range(sizes.num_layers))
        self.layer_norm = nn.LayerNorm(sizes.width)
        self.dropout = nn.Dropout(sizes.dropout)
        if sizes.is_compiled:
            for layer in self.layers:
                layer.compile()

    def forward(
        self, x: Tensor, padding: Tensor | None, need_weights: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Encode frames.

        Args:
            x: (B, F, D), positions added.
            padding: bool (B, F), True where padded, or None.
            need_weights: also return attention weights.

        Returns:
            context (B, F, D) and the weights (B, F, F) of each layer that ran, if asked for.
        """
        allowed = None
        if padding is not None:
            x = x.masked_fill(padding.unsqueeze(-1), 0.0)
            # A row without any frame of its own looks at its padding: finite, and pooled to zero.
            allowed = ~padding | padding.all(1, keepdim=True)
            allowed = allowed[:, None, None, :]
        if not self.is_norm_first:
            x = self.layer_norm(x)
        x = self.dropout(x)
        all_weights = []
        for layer in self.layers:
            if self.training and self.layer_drop > 0 and _coin() < self.layer_drop:
                continue
            x, weights = self._run(layer, x, allowed, need_weights)
            if weights is not None:
                all_weights.append(weights)
        return (self.layer_norm(x) if self.is_norm_first else x), all_weights

    def _run(
        self, layer: nn.Module, x: Tensor, allowed: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        if self.use_checkpoints and self.training and torch.is_grad_enabled():
            return checkpoint(layer, x, allowed, need_weights, use_reentrant=False)
        return layer(x, allowed, need_weights)


def _coin() -> float:
    """Return a random number from torch's CPU generator, which fairseq seeds before each update."""
    return float(torch.rand(()))


def _linear(num_in: int, num_out: int) -> nn.Linear:
    """Return a linear layer with BERT's initial weights."""
    linear = nn.Linear(num_in, num_out)
    nn.init.normal_(linear.weight, mean=0.0, std=_INIT_SPREAD)
    nn.init.zeros_(linear.bias)
    return linear
