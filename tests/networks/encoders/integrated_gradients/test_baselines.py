"""Copies of a signal without its waves, for integrated gradients to compare it with."""

import torch
from torch import Tensor

from ecg_fairseq.networks.encoders.integrated_gradients.baselines import (
    NUM_BASELINES,
    phase_shuffled,
)


def beats(num_samples: int = 501) -> Tensor:
    """Two segments (2, 3, T); the third lead is the second less the first."""
    time = torch.arange(num_samples) / 100
    first = torch.exp(-((time % 0.8 - 0.4) ** 2) * 400)
    second = 0.5 - first.roll(7) + 0.2 * torch.sin(40 * time)
    segment = torch.stack([first, second, second - first])
    return torch.stack([segment, 3 * segment.roll(11, 1)])


def test_spectrum_mean_and_spread_stay_and_waves_go() -> None:
    for num_samples in (500, 501):
        source = beats(num_samples)
        copies = phase_shuffled(source)
        assert copies.shape == (NUM_BASELINES, *source.shape)
        wanted = torch.fft.rfft(source).abs().expand(NUM_BASELINES, -1, -1, -1)
        torch.testing.assert_close(torch.fft.rfft(copies).abs(), wanted, atol=2e-3, rtol=1e-3)
        for what in (torch.mean, torch.std):
            torch.testing.assert_close(
                what(copies, -1), what(source, -1).expand(NUM_BASELINES, -1, -1)
            )
        centred = [one - one.mean(-1, keepdim=True) for one in (copies, source.expand_as(copies))]
        assert float(torch.cosine_similarity(*centred, dim=-1).abs().max()) < 0.6


def test_leads_go_together_as_before_and_copies_differ() -> None:
    copies = phase_shuffled(beats())
    torch.testing.assert_close(copies[..., 2, :], copies[..., 1, :] - copies[..., 0, :])
    assert float((copies[0] - copies[1]).abs().max()) > 0.1
    torch.testing.assert_close(phase_shuffled(beats()), copies, atol=0.0, rtol=0.0)


def test_padding_stays_as_it_is() -> None:
    source = beats()
    source[1, :, 300:] = 0.0
    padding = torch.zeros(2, 501, dtype=torch.bool)
    padding[1, 300:] = True
    copies = phase_shuffled(source, 4, padding=padding)
    assert not copies[:, 1, :, 300:].any()
    torch.testing.assert_close(copies[:, 1, :, :300], phase_shuffled(source[1:, :, :300], 4)[:, 0])
    by_lead = padding[:, None].expand(-1, 3, -1)
    torch.testing.assert_close(phase_shuffled(source, 4, padding=by_lead), copies)
