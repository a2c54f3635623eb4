"""Strided convolutions that turn samples into frames (fact sheet section 3.1)."""

import ast

import torch
from torch import Tensor, nn

from ecg_fairseq.errors import EcgError

ConvLayer = tuple[int, int, int]


def parse_conv_layers(text: str) -> list[ConvLayer]:
    """Read ``"[(256, 2, 2)] * 4"`` without evaluating it as code.

    Args:
        text: lists of (channels, kernel, stride), joined by ``+`` and repeated by ``*``.

    Raises:
        EcgError: anything else.

    >>> parse_conv_layers("[(8, 2, 2)] * 2 + [(4, 3, 1)]")
    [(8, 2, 2), (8, 2, 2), (4, 3, 1)]
    """
    try:
        layers = _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, TypeError) as cause:
        raise EcgError(_wrong_layers(text)) from cause
    if not isinstance(layers, list) or not layers or not all(map(_is_layer, layers)):
        raise EcgError(_wrong_layers(text))
    return [tuple(layer) for layer in layers]


def _wrong_layers(text: str) -> str:
    return (
        f"model.conv_feature_layers={text!r} is not a list of (channels, kernel, stride), such as "
        "'[(256, 2, 2)] * 4'"
    )


def _is_layer(layer: object) -> bool:
    if not isinstance(layer, tuple | list) or len(layer) != 3:
        return False
    return all(type(number) is int and number > 0 for number in layer)


def _value(node: ast.expr) -> object:
    """Evaluate a literal, a sum of literals or a repeated literal."""
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
            return left + right
        if isinstance(node.op, ast.Mult) and isinstance(left, list) and isinstance(right, int):
            if not 0 < right <= 100:
                raise ValueError("a list is repeated 1 to 100 times")
            return left * right
        raise ValueError("only + of lists and * by a number")
    return ast.literal_eval(node)


class _TimeLayerNorm(nn.LayerNorm):
    """Layer norm over channels of (B, C, F)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class ConvFeatureExtractor(nn.Module):
    """A stack of convolution, dropout, norm and GELU.

    Args:
        layers: (channels, kernel, stride) of each.
        num_leads: L of the input.
        mode: ``default``: one group per channel after the first convolution only (statistics over
            time); ``layer_norm``: after every convolution, over channels.
        bias: whether convolutions have one.
    """

    def __init__(self, layers: list[ConvLayer], num_leads: int, mode: str, bias: bool) -> None:
        super().__init__()
        self.layers = layers
        self.num_leads = num_leads
        self.conv_layers = nn.ModuleList()
        width = num_leads
        for index, (channels, kernel, stride) in enumerate(layers):
            conv = nn.Conv1d(width, channels, kernel, stride=stride, bias=bias)
            nn.init.kaiming_normal_(conv.weight)
            # The dropout never drops; it keeps the numbering of fairseq-signals' parameters.
            block: list[nn.Module] = [conv, nn.Dropout(0.0)]
            if mode == "layer_norm":
                block.append(_TimeLayerNorm(channels))
            elif index == 0:
                block.append(nn.GroupNorm(channels, channels))
            self.conv_layers.append(nn.Sequential(*block, nn.GELU()))
            width = channels

    def forward(self, source: Tensor) -> Tensor:
        """Return frames (B, C, F) of a signal (B, L, T).

        Raises:
            EcgError: another number of leads, or a signal too short for one frame.
        """
        self._check(source)
        for layer in self.conv_layers:
            source = layer(source)
        return source

    def _check(self, source: Tensor) -> None:
        if source.dim() != 3 or source.shape[1] != self.num_leads:
            raise EcgError(
                f"expected signals of shape (batch, {self.num_leads} leads, samples), got "
                f"{tuple(source.shape)}; set model.in_d or select leads in the task"
            )
        if self.num_frames(source.shape[2]) < 1:
            raise EcgError(
                f"a segment of {source.shape[2]} samples is shorter than the {self.receptive_field}"
                " samples that one frame sees; use longer segments or task.enable_padding=true"
            )

    @property
    def frame_step(self) -> int:
        """Samples between the starts of two frames."""
        step = 1
        for _, _, stride in self.layers:
            step *= stride
        return step

    @property
    def receptive_field(self) -> int:
        """Samples that one frame sees."""
        field, step = 1, 1
        for _, kernel, stride in self.layers:
            field += (kernel - 1) * step
            step *= stride
        return field

    def num_frames(self, num_samples: int) -> int:
        """Return F for a signal of ``num_samples``; 0 when it is too short."""
        for _, kernel, stride in self.layers:
            num_samples = max((num_samples - kernel) // stride + 1, 0)
        return num_samples

    def frame_padding(self, padding_mask: Tensor, num_frames: int) -> Tensor:
        """Return which frames are padding.

        Args:
            padding_mask: (B, T) or (B, L, T), True where padded, at the end of each row and the
                same for every lead.
            num_frames: F.

        Returns:
            bool (B, F).
        """
        if padding_mask.dim() == 3:
            padding_mask = padding_mask[:, 0]
        lengths = (~padding_mask.bool()).sum(-1)
        for _, kernel, stride in self.layers:
            lengths = ((lengths - kernel).div(stride, rounding_mode="floor") + 1).clamp_min(0)
        return torch.arange(num_frames, device=lengths.device) >= lengths[:, None]
