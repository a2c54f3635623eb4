"""Pooling over frames, padded and not."""

import pytest
import torch

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.encoder import EncodedSignal
from ecg_fairseq.networks.encoders.pooling import pool, pooled_by


@pytest.mark.parametrize(
    ("how", "wanted"),
    [("mean", [2.0, 0.5]), ("max", [3.0, 1.0]), ("first", [1, 0]), ("last", [3, 1])],
)
def test_pooling(how: str, wanted: list[float]) -> None:
    frames = torch.tensor([[[1.0, 0.0], [3.0, 1.0], [9.0, 9.0]], [[1.0, 1.0]] * 3])
    padding = torch.tensor([[False, False, True], [False] * 3])
    assert pool(frames, padding, how)[0].tolist() == wanted
    assert pool(frames, None, how)[1].tolist() == [1.0, 1.0]


def test_exact_zeros_count_in_the_mean() -> None:
    frames = torch.tensor([[[0.0], [3.0], [6.0]]])
    assert pool(frames, None).item() == 3.0
    assert pool(frames, torch.zeros(1, 3, dtype=torch.bool)).item() == 3.0
    assert pool(frames, torch.ones(1, 3, dtype=torch.bool)).item() == 0.0


def test_the_encoders_own_vector_is_left_alone() -> None:
    encoded = EncodedSignal(torch.ones(1, 2, 3), None, torch.full((1, 3), 7.0))
    assert pooled_by(encoded, "encoder").tolist() == [[7.0] * 3]
    assert pooled_by(encoded, "mean").tolist() == [[1.0] * 3]


@pytest.mark.parametrize("how", ["median", "encoder"])
def test_unknown_pooling_is_refused(how: str) -> None:
    with pytest.raises(EcgError, match="is not one of mean, max, first, last"):
        pool(torch.ones(1, 1, 1), None, how)
