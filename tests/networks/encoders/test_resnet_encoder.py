"""The encoder ``resnet``: the protocol, its settings, and padded signals."""

import pytest
import torch

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks import trained  # noqa: F401  (makes the encoders known)
from ecg_fairseq.networks.encoders.encoder import AttentiveEncoder, Encoder
from ecg_fairseq.networks.encoders.registry import encoder_kind

SMALL = {"num_leads": 2, "base_width": 4}


def build(**settings: object) -> torch.nn.Module:
    kind = encoder_kind("resnet")
    torch.manual_seed(0)
    return kind.build(kind.settings({**SMALL, **settings})).eval()


@pytest.mark.parametrize(
    ("depth", "use_max_pool", "width", "num_frames"),
    [(18, False, 32, 40), (34, True, 32, 20), (50, True, 128, 20)],
)
@torch.no_grad()
def test_is_an_encoder_without_attention(
    depth: int, use_max_pool: bool, width: int, num_frames: int
) -> None:
    encoder = build(depth=depth, use_max_pool=use_max_pool)
    assert isinstance(encoder, Encoder)
    assert not isinstance(encoder, AttentiveEncoder)
    assert (encoder.width, encoder.leads) == (width, 2)
    encoded = encoder.encode(torch.randn(3, 2, 640))
    assert encoded.frames.shape == (3, num_frames, width)
    assert encoded.padding is None
    torch.testing.assert_close(encoded.pooled, encoded.frames.mean(1))


@torch.no_grad()
def test_padding_changes_nothing() -> None:
    encoder = build().double()
    signal, padding = torch.randn(2, 2, 640).double(), torch.zeros(2, 640, dtype=torch.bool)
    padding[1, 400:] = True
    encoded = encoder.encode(signal, padding)
    alone = encoder.encode(signal[1:, :, :400])
    torch.testing.assert_close(encoded.pooled[1:], alone.pooled)
    assert encoded.padding is not None
    assert (~encoded.padding).sum(1).tolist() == [40, 25]


def test_the_shortest_segment_trains() -> None:
    encoder = build(use_max_pool=True).train()
    encoder.encode(torch.randn(1, 2, encoder.min_samples)).pooled.sum().backward()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        encoder.encode(torch.randn(1, 2, encoder.min_samples - 1))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"depth": 20}, "no ResNet-20"),
        ({"base_width": 0}, "base_width=0"),
        ({"num_leads": 0}, "num_leads=0"),
        ({"stem_kernel": 4}, "stem_kernel=4"),
        ({"width": 3}, "does not know"),
    ],
)
def test_settings_that_make_no_network(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(EcgError, match=reason):
        build(**settings)


def test_other_leads_are_refused() -> None:
    with pytest.raises(EcgError, match=r"reads 2 leads and got 3.*num_leads"):
        build().encode(torch.randn(1, 3, 640))
