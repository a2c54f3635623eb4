"""HeartLLM's autoencoder: published sizes, a second formulation, any length, float32 always."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.encoder import Encoder
from ecg_fairseq.networks.heartllm.config import FsqAutoencoderConfig, config_of
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder

SMALL = {"in_d": 3, "channels_per_lead": 8, "levels": [5, 4, 3]}


def small(**changes) -> FsqAutoencoder:
    """Return a small network whose codes use all their levels."""
    torch.manual_seed(0)
    network = FsqAutoencoder(config_of({**SMALL, **changes})).eval()
    with torch.no_grad():
        network.enc.to_code.weight.mul_(20)
        for name, weight in network.named_parameters():
            if ".norm." in name:
                weight.add_(torch.randn_like(weight) / 3)
    return network


def signals(count: int, num_samples: int, num_leads: int = 3) -> torch.Tensor:
    """Return noise (B, L, T) of which neighbouring samples are alike."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(count, num_leads, num_samples, generator=generator)
    return noise + noise.roll(1, -1) + noise.roll(2, -1)


def in_plain_steps(network: FsqAutoencoder, signal: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return code values and reconstruction, lead by lead and branch by branch."""

    def block(part, values):
        inner = part.inc
        branches = [branch(values) for branch in (inner.b1, inner.b2, inner.b3)]
        branches.append(inner.b4(F.max_pool1d(values, 3, stride=1, padding=1)))
        summed = torch.cat(branches, dim=1) + part.match(values)
        normalized = F.group_norm(summed, 8, part.norm.weight, part.norm.bias, 1e-5)
        return torch.where(normalized > 0, normalized, 0.01 * normalized)

    leads = []
    for lead in range(signal.shape[1]):
        values = signal[:, lead : lead + 1]
        for residual, down in network.enc.blocks:
            values = down(block(residual, values))
        leads.append(block(network.enc.bottleneck, values))
    values = network.enc.to_code(torch.cat(leads, dim=1).transpose(1, 2))
    steps = torch.tensor(network.config.levels) - 1
    decoded = network.dec.expand(torch.round(torch.sigmoid(values) * steps) / steps)
    decoded = decoded.transpose(1, 2)
    for up, residual in zip(network.dec.up, network.dec.dec, strict=True):
        decoded = block(residual, up(decoded))
    return values, network.dec.final(decoded)[..., : signal.shape[-1]]


def test_published_size():
    with torch.device("meta"):
        network = FsqAutoencoder(FsqAutoencoderConfig())
    parts = {"enc": 30_692, "dec": 4_139_916}
    for name, wanted in parts.items():
        assert sum(weight.numel() for weight in getattr(network, name).parameters()) == wanted
    assert len(network.state_dict()) == 73
    assert network.quantizer.num_ids == 1296
    assert network.config.num_tokens(5000) == 313
    assert isinstance(network, Encoder)
    assert (network.width, network.leads, network.min_samples) == (384, 12, 16)


@pytest.mark.parametrize("num_samples", [16, 17, 31, 33, 500, 1900])
def test_equals_a_plain_formulation_at_any_length(num_samples):
    network = small()
    signal = signals(2, num_samples)
    with torch.no_grad():
        output = network(signal)
        values, reconstruction = in_plain_steps(network, signal)
        features = network.encode(signal).frames
        torch.testing.assert_close(network.code_values(features), values, rtol=1e-5, atol=5e-5)
        torch.testing.assert_close(output.reconstruction, reconstruction, rtol=1e-5, atol=1e-5)
    assert output.reconstruction.shape == signal.shape
    assert output.code.levels.shape == (2, -(-num_samples // 16), 3)
    assert network.token_ids(signal).shape == (2, network.config.num_tokens(num_samples))


def test_gradients_equal_those_of_the_plain_formulation():
    network, signal = small(), signals(2, 200)
    output = network(signal)
    (output.reconstruction - signal).square().mean().backward()
    ours = {name: weight.grad.clone() for name, weight in network.named_parameters()}
    network.zero_grad()
    values, _ = in_plain_steps(network, signal)
    code = network.quantizer(values)
    (network.decode(code.on_grid, 200) - signal).square().mean().backward()
    for name, weight in network.named_parameters():
        torch.testing.assert_close(ours[name], weight.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("num_leads", [1, 2, 5])
def test_any_number_of_leads(num_leads):
    network = small(in_d=num_leads)
    signal = signals(2, 100, num_leads)
    with torch.no_grad():
        assert network(signal).reconstruction.shape == signal.shape


def test_ids_depend_neither_on_the_batch_nor_on_threads():
    network = small(in_d=12, channels_per_lead=16, levels=[30, 30, 24])
    signal = signals(32, 1000, 12)
    before = torch.get_num_threads()
    found = []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            found.append(network.token_ids(signal))
            found.append(torch.cat([network.token_ids(one) for one in signal.split(1)]))
            assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], ids) for ids in found)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_cast_of_the_surrounding_model_changes_no_id(dtype):
    network, signal = small(), signals(4, 640)
    wanted = network.token_ids(signal)
    surrounding = torch.nn.ModuleDict({"tokens": network, "other": torch.nn.Linear(2, 2)})
    surrounding.to(dtype)
    assert surrounding["other"].weight.dtype == dtype
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    assert torch.equal(network.token_ids(signal), wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network.token_ids(signal), wanted)
        assert torch.equal(network(signal).code.levels, small()(signal).code.levels)
        assert network(signal).reconstruction.dtype == torch.float32


def test_padded_rows_give_what_they_give_alone():
    network, signal = small(), signals(3, 320)
    padding = torch.zeros(3, 320, dtype=torch.bool)
    padding[1, 150:] = True
    signal[1, :, 150:] = 0
    with torch.no_grad():
        together = network(signal, padding)
        alone = network(signal[1:2, :, :150])
        encoded = network.encode(signal, padding)
        torch.testing.assert_close(together.reconstruction[1:2, :, :150], alone.reconstruction)
        assert torch.equal(together.code.levels[1, :10], alone.code.levels[0])
        assert not together.reconstruction[1, :, 150:].any()
        assert encoded.padding.sum(1).tolist() == [0, 10, 0]
        own = network.encode(signal[1:2, :, :150]).pooled
        torch.testing.assert_close(encoded.pooled[1:2], own)


def test_flat_leads_are_finite():
    network = small()
    signal = signals(1, 160)
    signal[0, 1] = 0
    with torch.no_grad():
        assert bool(network(signal).reconstruction.isfinite().all())


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((1, 2, 100), "3 leads"), ((1, 3, 15), "shorter than one token"), ((3, 100), "3 leads")],
)
def test_other_signals_are_refused(shape, reason):
    with pytest.raises(EcgError, match=reason):
        small().token_ids(torch.zeros(shape))
    with pytest.raises(EcgError, match=reason):
        small()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"in_d": 0}, "in_d=0"),
        ({"channels_per_lead": 12}, "multiple of 8"),
        ({"depth": 0}, "depth=0"),
        ({"levels": [6, 1]}, "levels="),
        ({"levels": "six"}, "whole numbers"),
        ({"levels": 6}, "whole numbers"),
    ],
)
def test_sizes_that_make_no_network_are_refused(changes, reason):
    with pytest.raises(EcgError, match=reason):
        FsqAutoencoder(config_of({**SMALL, **changes}))


def test_no_segments_have_no_ids():
    ids = small().token_ids(torch.zeros(0, 3, 100))
    assert ids.shape == (0, 7)
    assert ids.dtype == torch.int64


def test_same_features_in_training_and_inference():
    network, signal = small(in_d=12), signals(2, 320, 12)
    with torch.no_grad():
        inference = network.encode(signal).frames.numpy()
    training = network.encode(signal).frames.detach().numpy()
    np.testing.assert_allclose(training, inference, rtol=1e-5, atol=1e-5)
