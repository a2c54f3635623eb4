"""Sizes, padding and refusals of the 1-D ResNet; its numbers are checked by scripts/parity.py."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.layers.resnet import (
    ResNet,
    ResNetConfig,
    resnet_config,
    resnet_config_of,
)

SMALL = {
    "basic": ResNetConfig(3, "basic", (1, 2, 1, 1), (4, 6, 8, 10), 4),
    "bottleneck": ResNetConfig(3, "bottleneck", (1, 1, 2, 1), (4, 6, 8, 10), 4),
}


def build(config: ResNetConfig) -> ResNet:
    """A network whose batch norms are neither identities nor random."""
    torch.manual_seed(5)
    network = ResNet(config)
    for name, value in network.state_dict().items():
        if "bn" in name or "shortcut.1" in name:
            value.copy_(torch.rand_like(value.float()) + 0.5)
    return network.eval()


# Sizes of the reference's trunks of 12 leads without max-pool, which has no weights.
@pytest.mark.parametrize(
    ("depth", "num_parameters", "width"),
    [(18, 3_848_832, 512), (34, 7_223_168, 512), (50, 15_959_168, 2048), (101, 28_266_624, 2048),
     (152, 38_405_248, 2048)],
)  # fmt: skip
def test_published_sizes(depth: int, num_parameters: int, width: int) -> None:
    config = resnet_config(depth)
    with torch.device("meta"):
        network = ResNet(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == num_parameters
    assert config.width == width


@pytest.mark.parametrize("use_max_pool", [False, True])
@pytest.mark.parametrize("num_samples", [1, 31, 500, 512, 625])
@pytest.mark.parametrize("num_leads", [1, 8])
def test_any_length_and_number_of_leads(
    use_max_pool: bool, num_samples: int, num_leads: int
) -> None:
    config = replace(SMALL["basic"], num_leads=num_leads, use_max_pool=use_max_pool)
    frames = build(config)(torch.randn(2, num_leads, num_samples))
    assert frames.shape == (2, 10, -(-num_samples // config.stride))


def slow_convolution(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """One output at a time."""
    kernel = weight.shape[2]
    num_frames = -(-x.shape[2] // stride)
    wide = torch.nn.functional.pad(x, (kernel // 2, kernel))
    columns = [
        torch.einsum("bck,dck->bd", wide[..., i * stride : i * stride + kernel], weight)
        for i in range(num_frames)
    ]
    return torch.stack(columns, 2)


def slow_resnet(network: ResNet, signal: Tensor) -> Tensor:
    """The whole network from its weights, block by block."""
    weights = network.state_dict()

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = (weights[f"{name}.running_{kind}"][:, None] for kind in ("mean", "var"))
        scale, shift = (weights[f"{name}.{kind}"][:, None] for kind in ("weight", "bias"))
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        return slow_convolution(x, weights[f"{name}.weight"], stride)

    x = norm(conv(signal, "conv1", 2), "bn1").relu()
    if network.config.use_max_pool:
        wide = torch.nn.functional.pad(x, (1, 2), value=-torch.inf)
        x = torch.stack([wide[..., i : i + 3].amax(-1) for i in range(0, x.shape[2], 2)], 2)
    names = [f"layer{s}.{b}" for s in range(1, 5) for b in range(network.config.num_blocks[s - 1])]
    for name in names:
        stride = 2 if name in ("layer2.0", "layer3.0", "layer4.0") else 1
        is_bottleneck = f"{name}.conv3.weight" in weights
        y = norm(conv(x, f"{name}.conv1", 1 if is_bottleneck else stride), f"{name}.bn1").relu()
        y = norm(conv(y, f"{name}.conv2", stride if is_bottleneck else 1), f"{name}.bn2")
        if is_bottleneck:
            y = norm(conv(y.relu(), f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.shortcut.0.weight" in weights:
            x = norm(conv(x, f"{name}.shortcut.0", stride), f"{name}.shortcut.1")
        x = (x + y).relu()
    return x


@pytest.mark.parametrize("use_max_pool", [False, True])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@torch.no_grad()
def test_equals_its_definition(block: str, use_max_pool: bool) -> None:
    network = build(replace(SMALL[block], use_max_pool=use_max_pool))
    signal = torch.randn(2, 3, 203)
    torch.testing.assert_close(network(signal), slow_resnet(network, signal), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("use_max_pool", [False, True])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("num_real", [1, 77, 160])
@torch.no_grad()
def test_a_padded_signal_has_the_frames_of_itself_alone(
    block: str, use_max_pool: bool, num_real: int
) -> None:
    network = build(replace(SMALL[block], use_max_pool=use_max_pool)).double()
    signal = torch.randn(2, 3, 320, dtype=torch.float64)
    padding = torch.zeros(2, 320, dtype=torch.bool)
    padding[1, num_real:] = True
    frames = network(signal, padding)
    alone = network(signal[1:, :, :num_real])
    num_frames = alone.shape[2]
    torch.testing.assert_close(frames[1:, :, :num_frames], alone)
    torch.testing.assert_close(frames[:1], network(signal[:1]))
    frame_padding = network.frame_padding(padding)
    assert frame_padding.shape == (2, frames.shape[2])
    assert frame_padding[1].tolist() == [False] * num_frames + [True] * (
        frames.shape[2] - num_frames
    )
    assert not frames[1, :, num_frames:].any()


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_sizes_are_read_off_weights(block: str) -> None:
    weights = build(SMALL[block]).state_dict()
    assert resnet_config_of(weights) == SMALL[block]
    assert resnet_config_of(weights, use_max_pool=True).use_max_pool
    with pytest.raises(EcgError, match=r"conv1\.weight is missing"):
        resnet_config_of({f"resnet.{name}": value for name, value in weights.items()})
    del weights["layer3.0.conv2.weight"]
    with pytest.raises(EcgError, match=r"layer3\.0\.conv2\.weight is missing"):
        resnet_config_of(weights)


def test_sizes_that_make_no_network() -> None:
    with pytest.raises(EcgError, match="no ResNet-20; depths are 18, 34"):
        resnet_config(20)
    for wrong, word in [
        ({"block": "wide"}, "'wide'"),
        ({"num_blocks": (1, 1, 1)}, "num_blocks"),
        ({"widths": (4, 4, 4, 0)}, "widths"),
        ({"stem_width": 0}, "stem_width=0"),
        ({"stem_kernel": 8}, "stem_kernel=8"),
    ]:
        with pytest.raises(EcgError, match=word):
            ResNet(replace(SMALL["basic"], **wrong))
