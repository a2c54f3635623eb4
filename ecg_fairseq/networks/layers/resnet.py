"""One-dimensional residual networks over leads: ResNet 18, 34, 50, 101 and 152.

He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), with convolutions along time
and the stride on the 3-wide convolution. MERL and the two-stage baseline of ECG-Byte use it without
max-pool (fact sheets ecg-encoder.md section 5 and ecg-byte.md section 4.2); names of weights are
theirs. Heads, projections and pooling are not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from ecg_fairseq.errors import EcgError

_EXPANSION = {"basic": 1, "bottleneck": 4}
_STAGE_STRIDES = (1, 2, 2, 2)
_DEPTHS = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes of a network.

    Attributes:
        num_leads: L of the input.
        block: ``basic`` (two 3-wide convolutions) or ``bottleneck`` (1, 3 and 1 wide, four times
            as many channels out).
        num_blocks: of each of the four stages.
        widths: channels of each stage's 3-wide convolutions.
        stem_width: channels of the first convolution.
        stem_kernel: samples that the first convolution sees (odd).
        use_max_pool: halve the frames once more after the first convolution, as in images.
    """

    num_leads: int = 12
    block: str = "basic"
    num_blocks: tuple[int, ...] = (2, 2, 2, 2)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem_width: int = 64
    stem_kernel: int = 7
    use_max_pool: bool = False

    @property
    def width(self) -> int:
        """Channels D of the last stage."""
        return self.widths[-1] * _EXPANSION[self.block]

    @property
    def stride(self) -> int:
        """Samples from one frame to the next: 16, with max-pool 32."""
        return 32 if self.use_max_pool else 16

    def check(self) -> None:
        """Refuse sizes that make no network.

        Raises:
            EcgError: says which one.
        """
        if self.block not in _EXPANSION:
            raise EcgError(f"ResNet block {self.block!r} must be one of {', '.join(_EXPANSION)}")
        for name in ("num_blocks", "widths"):
            numbers = getattr(self, name)
            if len(numbers) != len(_STAGE_STRIDES) or min(numbers) < 1:
                raise EcgError(
                    f"ResNet {name}={numbers} must be four positive numbers, one a stage"
                )
        if min(self.num_leads, self.stem_width) < 1:
            raise EcgError(
                f"ResNet num_leads={self.num_leads} and stem_width={self.stem_width} must be "
                "positive"
            )
        if self.stem_kernel < 1 or self.stem_kernel % 2 == 0:
            raise EcgError(f"ResNet stem_kernel={self.stem_kernel} must be odd and positive")


def resnet_config(depth: int, **settings: Any) -> ResNetConfig:
    """Return the sizes of a published depth.

    Args:
        depth: 18, 34, 50, 101 or 152.
        settings: further fields of :class:`ResNetConfig`.

    Raises:
        EcgError: another depth.

    >>> resnet_config(50, num_leads=3).width
    2048
    """
    if depth not in _DEPTHS:
        raise EcgError(f"there is no ResNet-{depth}; depths are {', '.join(map(str, _DEPTHS))}")
    block, num_blocks = _DEPTHS[depth]
    return replace(ResNetConfig(block=block, num_blocks=num_blocks), **settings)


def resnet_config_of(weights: Mapping[str, Tensor], use_max_pool: bool = False) -> ResNetConfig:
    """Read the sizes of a network off its weights.

    Args:
        weights: a state dict with the names of :class:`ResNet`.
        use_max_pool: weights do not tell.

    Raises:
        EcgError: a weight that every network has is missing.
    """
    try:
        stem_width, num_leads, stem_kernel = weights["conv1.weight"].shape
        stages = range(1, len(_STAGE_STRIDES) + 1)
        return ResNetConfig(
            num_leads=num_leads,
            block="bottleneck" if "layer1.0.conv3.weight" in weights else "basic",
            num_blocks=tuple(_num_blocks(weights, stage) for stage in stages),
            widths=tuple(weights[f"layer{stage}.0.conv2.weight"].shape[0] for stage in stages),
            stem_width=stem_width,
            stem_kernel=stem_kernel,
            use_max_pool=use_max_pool,
        )
    except KeyError as cause:
        raise EcgError(
            f"these are not the weights of a ResNet: {cause.args[0]} is missing; give those under "
            "the network's own names (conv1, bn1, layer1 to layer4), without a prefix"
        ) from cause


def _num_blocks(weights: Mapping[str, Tensor], stage: int) -> int:
    count = 0
    while f"layer{stage}.{count}.conv1.weight" in weights:
        count += 1
    return count


class ResNet(nn.Module):
    """Signal (B, L, T) to frames (B, D, F), F = ceil(T / stride).

    Args:
        config: sizes.
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        config.check()
        self.config = config
        kernel = config.stem_kernel
        self.conv1 = nn.Conv1d(
            config.num_leads, config.stem_width, kernel, stride=2, padding=kernel // 2, bias=False
        )
        self.bn1 = nn.BatchNorm1d(config.stem_width)
        self.relu = nn.ReLU(inplace=True)
        # Padding with -inf never wins: what is pooled is not negative.
        self.maxpool = nn.MaxPool1d(3, stride=2, padding=1) if config.use_max_pool else None
        num_channels = config.stem_width
        for stage, stride in enumerate(_STAGE_STRIDES):
            blocks, num_channels = _stage(config, stage, num_channels, stride)
            self.add_module(f"layer{stage + 1}", blocks)
        self.apply(_initialize)

    def forward(self, signal: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return frames (B, D, F).

        Args:
            signal: (B, L, T).
            padding: bool (B, T), True where padded, or None. Frames of a padded signal are then
                those of the signal alone: nothing flows out of padded places, whose frames are 0.
        """
        x = signal
        if padding is not None:
            x = x.masked_fill(padding.unsqueeze(1), 0.0)
        x, padding = _unpadded(self.relu(self.bn1(self.conv1(x))), padding, stride=2)
        if self.maxpool is not None:
            x, padding = _unpadded(self.maxpool(x), padding, stride=2)
        for stage in range(1, len(_STAGE_STRIDES) + 1):
            for block in self.get_submodule(f"layer{stage}").children():
                x, padding = block(x, padding)
        return x

    def frame_padding(self, padding: Tensor) -> Tensor:
        """Return which frames (B, F) are padded, of samples (B, T): those centered on padding."""
        return padding[:, :: self.config.stride]


class BasicBlock(nn.Module):
    """Two 3-wide convolutions beside a shortcut.

    Args:
        num_channels: of the input.
        width: channels of the output.
        stride: of the first convolution and of the shortcut.
    """

    def __init__(self, num_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = _convolution(num_channels, width, 3, stride)
        self.bn1 = nn.BatchNorm1d(width)
        self.conv2 = _convolution(width, width, 3)
        self.bn2 = nn.BatchNorm1d(width)
        self.shortcut = _shortcut(num_channels, width, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return frames (B, D, F) of (B, C, F'), and which are padded."""
        shortcut = self.shortcut(x)
        x, padding = _unpadded(self.relu(self.bn1(self.conv1(x))), padding, self.stride)
        return _unpadded(self.relu(self.bn2(self.conv2(x)) + shortcut), padding)


class BottleneckBlock(nn.Module):
    """A 3-wide convolution between two 1-wide ones, beside a shortcut.

    Args:
        num_channels: of the input.
        width: channels of the 3-wide convolution; four times as many come out.
        stride: of the 3-wide convolution and of the shortcut.
    """

    def __init__(self, num_channels: int, width: int, stride: int) -> None:
        super().__init__()
        num_out = width * _EXPANSION["bottleneck"]
        self.stride = stride
        self.conv1 = _convolution(num_channels, width, 1)
        self.bn1 = nn.BatchNorm1d(width)
        self.conv2 = _convolution(width, width, 3, stride)
        self.bn2 = nn.BatchNorm1d(width)
        self.conv3 = _convolution(width, num_out, 1)
        self.bn3 = nn.BatchNorm1d(num_out)
        self.shortcut = _shortcut(num_channels, num_out, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return frames (B, D, F) of (B, C, F'), and which are padded."""
        shortcut = self.shortcut(x)
        x, padding = _unpadded(self.relu(self.bn1(self.conv1(x))), padding)
        x, padding = _unpadded(self.relu(self.bn2(self.conv2(x))), padding, self.stride)
        return _unpadded(self.relu(self.bn3(self.conv3(x)) + shortcut), padding)


def _unpadded(x: Tensor, padding: Tensor | None, stride: int = 1) -> tuple[Tensor, Tensor | None]:
    """Zero what is padded in x (B, C, F), a result of ``stride`` on frames padded as given."""
    if padding is None:
        return x, None
    padding = padding[:, ::stride]
    return x.masked_fill(padding.unsqueeze(1), 0.0), padding


def _stage(
    config: ResNetConfig, stage: int, num_channels: int, stride: int
) -> tuple[nn.Sequential, int]:
    """Return the blocks of a stage, whose first one has the stride, and their channels."""
    block = BottleneckBlock if config.block == "bottleneck" else BasicBlock
    width = config.widths[stage]
    blocks = nn.Sequential()
    for index in range(config.num_blocks[stage]):
        blocks.append(block(num_channels, width, 1 if index else stride))
        num_channels = width * _EXPANSION[config.block]
    return blocks, num_channels


def _shortcut(num_channels: int, num_out: int, stride: int) -> nn.Module:
    if stride == 1 and num_channels == num_out:
        return nn.Identity()
    return nn.Sequential(_convolution(num_channels, num_out, 1, stride), nn.BatchNorm1d(num_out))


def _convolution(num_channels: int, num_out: int, kernel: int, stride: int = 1) -> nn.Conv1d:
    return nn.Conv1d(num_channels, num_out, kernel, stride, padding=kernel // 2, bias=False)


def _initialize(module: nn.Module) -> None:
    """Start convolutions as He et al. (ICCV 2015) for ReLU, as image networks do."""
    if isinstance(module, nn.Conv1d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
