"""Read-outs and output layers, on frames made by hand."""

import pytest
import torch

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.encoder import EncodedSignal
from ecg_fairseq.networks.encoders.heads import AttentionReadOut, cosines, read_out


def encoded(padding: torch.Tensor | None = None) -> EncodedSignal:
    frames = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    return EncodedSignal(frames, padding, frames.amax(1))


def test_linear_reads_the_encoders_own_vector() -> None:
    signal = encoded()
    assert torch.equal(read_out("linear", 8, 1, 0.5).eval()(signal), signal.pooled)


@pytest.mark.parametrize("num_heads", [1, 4])
def test_attention_equals_torchs(num_heads: int) -> None:
    """torch's own attention, with the learned query in place of a projected one."""
    torch.manual_seed(1)
    head = AttentionReadOut(8, num_heads).eval()
    torch.nn.init.normal_(head.query)
    signal = encoded(torch.tensor([[False] * 5, [False, False, True, True, True]]))
    frames = head.norm(signal.frames)
    query = head.query.expand(2, -1, -1).unsqueeze(2)
    key, value = (
        layer(frames).unflatten(-1, (num_heads, -1)).transpose(1, 2)
        for layer in (head.key, head.value)
    )
    allowed = ~signal.padding[:, None, None, :]
    wanted = torch.nn.functional.scaled_dot_product_attention(query, key, value, allowed)
    torch.testing.assert_close(head(signal), wanted.flatten(1), atol=1e-6, rtol=1e-6)


def test_attention_never_sees_padding() -> None:
    head = AttentionReadOut(8, 2).eval()
    padding = torch.tensor([[False] * 3 + [True] * 2] * 2)
    signal = encoded(padding)
    changed = signal.frames.clone()
    changed[:, 3:] = 1e3
    other = EncodedSignal(changed, padding, signal.pooled)
    assert torch.equal(head(signal), head(other))
    empty = EncodedSignal(signal.frames, torch.ones(2, 5, dtype=torch.bool), signal.pooled)
    assert bool(head(empty).isfinite().all())


def test_every_part_learns() -> None:
    head = AttentionReadOut(8, 2)
    head(encoded()).pow(2).sum().backward()
    weights = {name: one.grad for name, one in head.named_parameters()}
    # A key's bias moves all scores alike, so attention cannot depend on it.
    still = {name for name, grad in weights.items() if float(grad.abs().max()) < 1e-6}
    assert still <= {"key.bias"}


def test_cosines_are_of_length_one_and_bounded() -> None:
    directions = torch.tensor([[2.0, 0.0], [0.0, 0.5]])
    found = cosines(torch.tensor([[3.0, 4.0]]), directions)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8]]))
    assert float(cosines(directions, directions).max()) <= 1.0


def test_unfit_heads_are_refused() -> None:
    with pytest.raises(EcgError, match="not one of linear, attention"):
        read_out("mean", 8, 1, 0.0)
    with pytest.raises(EcgError, match="width 8 is not a multiple of model"):
        read_out("attention", 8, 3, 0.0)
