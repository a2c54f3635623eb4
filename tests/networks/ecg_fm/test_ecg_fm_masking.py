"""Masked spans and negatives: fairseq's rules, drawn for a whole batch at once."""

import numpy as np
import pytest
import torch

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.layers.masking import (
    SpanRule,
    draw_negatives,
    draw_spans,
    masked_positions,
)

PUBLISHED = SpanRule(prob=0.65, length=10)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reference_spans(num_rows: int, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """The published sampler, one row after the other (fact sheet section 3.2)."""
    num_spans = max(2, int(0.65 * num_frames / 10 + rng.random()))
    rows = []
    for _ in range(num_rows):
        starts = rng.choice(num_frames - 10, num_spans, replace=False)
        rows.append(np.unique((starts[:, None] + np.arange(10)).ravel()))
    fewest = min(map(len, rows))
    mask = np.zeros((num_rows, num_frames), dtype=bool)
    for row, frames in zip(mask, rows, strict=True):
        row[rng.choice(frames, fewest, replace=False)] = True
    return mask


def test_counts_spread_as_in_the_published_sampler() -> None:
    rng, generator = np.random.default_rng(0), seeded(0)
    theirs = np.stack([reference_spans(8, 156, rng) for _ in range(400)])
    ours = torch.stack([draw_spans(8, 156, PUBLISHED, generator=generator) for _ in range(400)])
    counts = ours.sum(-1)
    assert bool((counts == counts[:, :1]).all())
    assert abs(float(counts.float().mean()) - theirs.sum(-1).mean()) < 0.6
    assert abs(float(counts[:, 0].float().std()) - theirs.sum(-1)[:, 0].std()) < 0.6
    # Every place is hidden about equally often, the ends less.
    np.testing.assert_allclose(ours.float().mean((0, 1)).numpy(), theirs.mean((0, 1)), atol=0.05)


def test_same_generator_same_mask() -> None:
    one, other = (draw_spans(4, 100, PUBLISHED, generator=seeded(5)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, draw_spans(4, 100, PUBLISHED, generator=seeded(6)))


@pytest.mark.parametrize("selection", ["static", "uniform", "normal", "poisson"])
@pytest.mark.parametrize("no_overlap", [False, True])
def test_rows_hide_equally_many_frames_and_no_padding(selection: str, no_overlap: bool) -> None:
    rule = SpanRule(0.5, 8, selection, 2.0, no_overlap)
    padding = torch.arange(90) >= torch.tensor([90, 60, 31, 88])[:, None]
    for seed in range(30):
        mask = draw_spans(4, 90, rule, padding, seeded(seed))
        assert not bool((mask & padding).any())
        counts = mask.sum(1)
        assert int(counts.min()) == int(counts.max()) > 0


def test_spans_keep_their_distance() -> None:
    rule = SpanRule(0.6, 6, no_overlap=True, min_space=2)
    for seed in range(50):
        mask = draw_spans(1, 80, rule, generator=seeded(seed))[0]
        edges = torch.diff(mask.int(), prepend=torch.zeros(1), append=torch.zeros(1))
        starts, ends = (edges == 1).nonzero()[:, 0], (edges == -1).nonzero()[:, 0]
        assert set((ends - starts).tolist()) == {6}
        assert bool((starts[1:] - ends[:-1] >= 2).all())


def test_short_rows_are_masked_or_refused() -> None:
    assert int(draw_spans(3, 5, PUBLISHED, generator=seeded(0)).sum(1)[0]) >= 2
    padding = torch.ones(2, 40, dtype=torch.bool)
    padding[0] = False
    with pytest.raises(EcgError, match="too short to mask"):
        draw_spans(2, 40, PUBLISHED, padding, seeded(0))


def test_positions_of_a_mask() -> None:
    mask = torch.tensor([[True, False, True], [False, True, True]])
    assert masked_positions(mask).tolist() == [[0, 2], [1, 2]]
    with pytest.raises(EcgError, match="equally many"):
        masked_positions(torch.tensor([[True, False], [True, True]]))


def test_negatives_are_never_the_own_frame() -> None:
    own = torch.arange(6).expand(5, 6)
    negatives = draw_negatives(own, 6, 40, 60, seeded(0))
    assert negatives.shape == (5, 6, 100)
    itself = own + torch.arange(5)[:, None] * 6
    assert not bool((negatives == itself.unsqueeze(-1)).any())
    same_row = negatives[..., :40]
    assert bool((same_row // 6 == torch.arange(5)[:, None, None]).all())
    everywhere = negatives[..., 40:]
    assert int(everywhere.min()) == 0
    assert int(everywhere.max()) == 29
    # each of the five others about equally often
    counts = torch.bincount((same_row[:, 0] % 6).flatten(), minlength=6)
    assert int(counts[0]) == 0
    assert int(counts[1:].min()) > 20


def test_one_masked_frame_has_no_negative() -> None:
    with pytest.raises(EcgError, match="no other one"):
        draw_negatives(torch.zeros(2, 1, dtype=torch.long), 1, 3)


def test_half_a_span_is_drawn_half_of_the_time() -> None:
    rule = SpanRule(prob=0.105, length=1)
    counts = [int(draw_spans(1, 100, rule, generator=seeded(seed)).sum()) for seed in range(200)]
    assert set(counts) == {10, 11}
    assert 70 < counts.count(11) < 130
