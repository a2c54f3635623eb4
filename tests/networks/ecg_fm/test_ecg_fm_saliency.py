"""Saliency: properties that hold for any network, and evidence planted in one lead."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.saliency import (
    attention_rollout,
    frames_to_samples,
    gradient_times_input,
    integrated_gradients,
    largest_attention,
)

Build = Callable[..., Any]


def test_integrated_gradients_add_up_to_the_logit(build: Build, signals: Tensor) -> None:
    network = build("ecg_transformer_classifier").eval()
    baseline = 0.1 * torch.randn(1, 12, 640, generator=torch.Generator().manual_seed(4))
    found = integrated_gradients(network, signals, 1, 64, baseline).sum((1, 2))
    with torch.no_grad():
        wanted = network(signals).logits[:, 1] - network(baseline.expand_as(signals)).logits[:, 1]
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.02)


def test_gradient_is_that_of_small_changes(build: Build, signals: Tensor) -> None:
    network = build("ecg_transformer_classifier").double().eval()
    source = signals[:2].double()
    saliency = gradient_times_input(network, source, 2)
    for place in ((0, 3, 100), (1, 7, 555)):
        changed = [source.clone(), source.clone()]
        for sign, copy in zip((1, -1), changed, strict=True):
            copy[place] *= 1 + sign * 1e-5
        with torch.no_grad():
            up, down = (network(copy).logits[place[0], 2] for copy in changed)
        assert float((up - down) / 2e-5) == pytest.approx(float(saliency[place]), rel=1e-3)


def test_lead_that_nothing_depends_on_has_no_saliency(build: Build, signals: Tensor) -> None:
    network = build("ecg_transformer_classifier").eval()
    with torch.no_grad():
        network.encoder.feature_extractor.conv_layers[0][0].weight[:, 4] = 0.0
    saliency = gradient_times_input(network, signals, 0)
    assert float(saliency[:, 4].abs().max()) == 0.0
    assert float(saliency.abs().sum((1, 2)).min()) > 0.0


def test_nothing_is_left_behind(build: Build, signals: Tensor) -> None:
    network = build("ecg_transformer_classifier").eval()
    with torch.no_grad():
        gradient_times_input(network, signals, 0)
    assert signals.grad is None
    assert all(parameter.grad is None for parameter in network.parameters())


def test_misuse_is_explained(build: Build, signals: Tensor) -> None:
    network = build("ecg_transformer_classifier")
    with pytest.raises(EcgError, match="eval"):
        gradient_times_input(network.train(), signals, 0)
    with pytest.raises(EcgError, match="label 3 is not one of the network's 3"):
        gradient_times_input(network.eval(), signals, 3)
    with pytest.raises(EcgError, match="num_steps"):
        integrated_gradients(network, signals, 0, 0)


def test_rollout_follows_attention_through_layers() -> None:
    attention = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)).softmax(-1)
    rollout = attention_rollout(attention)
    torch.testing.assert_close(rollout.sum(1), torch.ones(2))
    # Every frame of the first layer looks at frame 2; later layers look at themselves.
    attention = torch.eye(5).repeat(1, 3, 1, 1)
    attention[:, 0] = 0.0
    attention[:, 0, :, 2] = 1.0
    wanted = torch.full((1, 5), 0.1)
    wanted[0, 2] += 0.5
    torch.testing.assert_close(attention_rollout(attention), wanted)


def test_largest_attention_is_of_the_last_layer_over_keys() -> None:
    attention = torch.zeros(1, 2, 3, 3)
    attention[0, 0] = 9.0
    attention[0, 1] = torch.tensor([[0.2, 0.7, 0.1], [0.0, 0.0, 1.0], [0.4, 0.3, 0.3]])
    torch.testing.assert_close(largest_attention(attention), torch.tensor([[0.7, 1.0, 0.4]]))


def test_frames_stand_over_the_samples_they_see(build: Build) -> None:
    encoder = build("ecg_transformer", conv_feature_layers="[(4, 2, 2)] * 4")
    values = torch.zeros(1, 10)
    values[0, 3] = 1.0
    stretched = frames_to_samples(values, encoder, 170)[0]
    assert stretched.shape == (170,)
    # Frame 3 sees samples 48 to 63, whose middle lies between 55 and 56.
    assert stretched.argmax().item() in (55, 56)
    assert float(stretched[:40].max()) == float(stretched[72:].max()) == 0.0
    ramp = frames_to_samples(torch.arange(10.0)[None], encoder, 160)[0]
    torch.testing.assert_close(ramp[8:152], (torch.arange(8.0, 152) - 7.5) / 16)
