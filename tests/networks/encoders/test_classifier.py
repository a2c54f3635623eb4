"""Finetuned networks over an encoder with batch norms: freezing, and what comes out."""

import pytest
import torch
from second_encoder import ToyConfig, ToyEncoder

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.classifier import EncoderArcFace, EncoderClassifier, encoder_of
from ecg_fairseq.networks.encoders.heads import PooledReadOut


class NormedEncoder(ToyEncoder):
    def __init__(self) -> None:
        super().__init__(ToyConfig(width=4))
        self.convolution = torch.nn.Sequential(self.convolution, torch.nn.BatchNorm1d(4))


def signals() -> torch.Tensor:
    return torch.randn(3, 12, 100, generator=torch.Generator().manual_seed(0))


def test_only_the_head_learns_while_frozen() -> None:
    network = EncoderClassifier(NormedEncoder(), PooledReadOut(), 2, freeze_updates=5).train()
    norm = network.encoder.convolution[1]
    before = norm.running_mean.clone()
    network(signals()).logits.sum().backward()
    assert torch.equal(norm.running_mean, before)
    assert norm.training
    assert network.encoder.convolution[0].weight.grad is None
    assert network.proj.weight.grad is not None
    network.set_num_updates(5)
    network(signals()).logits.sum().backward()
    assert not torch.equal(norm.running_mean, before)
    assert network.encoder.convolution[0].weight.grad is not None


def test_padding_of_every_lead_is_that_of_the_segment() -> None:
    network = EncoderClassifier(ToyEncoder(ToyConfig()), PooledReadOut(), 2).eval()
    padding = (torch.arange(100) >= torch.tensor([100, 75, 50])[:, None]).bool()
    flat = network(signals(), padding)
    assert flat.encoded.padding is not None
    assert flat.encoded.padding.sum(1).tolist() == [0, 1, 2]
    by_lead = network(signals(), padding[:, None].expand(-1, 12, -1))
    assert torch.equal(flat.logits, by_lead.logits)


def test_identification_gives_cosines_of_its_embeddings() -> None:
    network = EncoderArcFace(ToyEncoder(ToyConfig()), PooledReadOut(), 3).eval()
    output = network(signals())
    assert torch.equal(output.pooled, output.encoded.pooled)
    wanted = torch.nn.functional.cosine_similarity(
        output.pooled[:, None], network.kernel[None], dim=-1
    )
    torch.testing.assert_close(output.logits, wanted)


def test_unfit_parts_are_refused() -> None:
    with pytest.raises(EcgError, match=r"model\.num_labels=0"):
        EncoderClassifier(ToyEncoder(ToyConfig()), PooledReadOut(), 0)
    with pytest.raises(EcgError, match="a Linear is no ECG encoder"):
        encoder_of(torch.nn.Linear(2, 2))
