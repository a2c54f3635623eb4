"""Saliency: properties that hold for any network, and evidence planted in one lead."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.integrated_gradients import quadrature
from ecg_fairseq.networks.encoders.integrated_gradients.baselines import phase_shuffled
from ecg_fairseq.networks.encoders.saliency import (
    attention_rollout,
    frames_to_samples,
    gradient_times_input,
    integrated_gradients,
    largest_attention,
    received_attention,
)

Build = Callable[..., Any]


def test_integrated_gradients_add_up_to_the_logit(build: Build, signals: Tensor) -> None:
    network = build("ecg_transformer_classifier").eval()
    baseline = 0.1 * torch.randn(1, 12, 640, generator=torch.Generator().manual_seed(4))
    found = integrated_gradients(network, signals, 1, 64, baseline).sum((1, 2))
    with torch.no_grad():
        wanted = network(signals).logits[:, 1] - network(baseline.expand_as(signals)).logits[:, 1]
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.02)


@pytest.fixture
def waves() -> Tensor:
    """Twelve segments with bumps of several rates and heights, and noise: z-scored."""
    random = torch.Generator().manual_seed(5)
    time = torch.arange(320) / 100
    rates = 1 + torch.rand(12, 1, 1, generator=random)
    beats = torch.exp(-200 * ((time * rates) % 1 - 0.5) ** 2)
    source = beats * torch.randn(12, 12, 1, generator=random)
    source = source + 0.1 * torch.randn(12, 12, 320, generator=random)
    return (source - source.mean(2, keepdim=True)) / source.std(2, keepdim=True)


def test_defaults_add_up_to_the_change_of_the_logit(build: Build, waves: Tensor) -> None:
    network = build("ecg_transformer_classifier").eval()
    found = integrated_gradients(network, waves, 1).sum((1, 2))
    with torch.no_grad():
        others = torch.stack([network(one).logits[:, 1] for one in phase_shuffled(waves)])
        wanted = network(waves).logits[:, 1] - others.mean(0)
    # The smallest changes of the logit are of the size of what float32 rounds.
    torch.testing.assert_close(found, wanted, rtol=0.02, atol=1e-6)
    assert float(wanted.abs().mean()) > 0.1


def test_defaults_are_no_multiple_of_gradient_times_input(build: Build, waves: Tensor) -> None:
    """From a flat line they are, since the first norm divides by the spread over time."""
    network = build("ecg_transformer_classifier").eval()
    plain = gradient_times_input(network, waves[:2], 1).flatten(1)

    def likeness(maps: Tensor) -> float:
        return float(torch.cosine_similarity(plain, maps.flatten(1)).min())

    flat = integrated_gradients(network, waves[:2], 1, 32, torch.zeros(1, 12, 320))
    assert likeness(flat) > 0.9
    assert likeness(integrated_gradients(network, waves[:2], 1)) < 0.8


def test_several_baselines_are_averaged(build: Build, signals: Tensor) -> None:
    network, source = build("ecg_transformer_classifier").eval(), signals[:2]
    several = phase_shuffled(source, 3)
    whole = integrated_gradients(network, source, 0, 16, several)
    single = [integrated_gradients(network, source, 0, 16, one) for one in several]
    torch.testing.assert_close(whole, torch.stack(single).mean(0), atol=1e-6, rtol=1e-4)
    shared = integrated_gradients(network, source, 0, 16, several[:, :1])
    torch.testing.assert_close(shared[0], whole[0])


def test_a_row_is_explained_alike_in_any_batch(build: Build, waves: Tensor) -> None:
    network = build("ecg_transformer_classifier").eval()
    alone = integrated_gradients(network, waves[3:4], 2)[0]
    torch.testing.assert_close(
        integrated_gradients(network, waves[2:4], 2)[1], alone, atol=1e-6, rtol=1e-3
    )


def test_what_does_not_add_up_is_said(
    build: Build, waves: Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = build("ecg_transformer_classifier").eval()
    monkeypatch.setattr(quadrature, "MOST_POINTS", 1)
    monkeypatch.setattr(quadrature, "TOLERANCE", 1e-9)
    integrated_gradients(network, waves[:2], 1)
    assert "of 2 segments do not add up to the change of the logit" in caplog.text


@pytest.mark.parametrize("factor", [0.0, 0.1, 5.0])
def test_scaled_training_gradients_leave_saliency_alone(
    factor: float, build: Build, signals: Tensor
) -> None:
    whole, scaled = (
        build("ecg_transformer_classifier", feature_grad_mult=one).eval() for one in (1.0, factor)
    )
    for explain in (gradient_times_input, partial(integrated_gradients, num_steps=2)):
        wanted = explain(whole, signals[:2], 1)
        torch.testing.assert_close(explain(scaled, signals[:2], 1), wanted, atol=0.0, rtol=0.0)
    assert float(wanted.abs().max()) > 0.0


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


def test_received_attention_stands_at_the_frame_looked_at() -> None:
    attention = torch.zeros(1, 2, 4, 4)
    attention[0, 0] = 9.0
    attention[0, 1, :, 2] = 0.7
    attention[0, 1, :, 0] = 0.3
    torch.testing.assert_close(received_attention(attention), torch.tensor([[0.3, 0.0, 0.7, 0.0]]))
    # The published figure is the same at every frame that looks there.
    torch.testing.assert_close(largest_attention(attention), torch.full((1, 4), 0.7))


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
