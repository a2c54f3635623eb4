"""A small tokenizer of HeartLLM, and its file in the published form."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ecg_fairseq.networks.heartllm.config import config_of
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder


@pytest.fixture
def make_best(tmp_path: Path) -> Callable[..., Path]:
    """Write ``best.pt`` as HeartLLM does."""

    def make(name: str = "best.pt", change: Callable[[dict], None] | None = None, **sizes: Any):
        torch.manual_seed(3)
        config = config_of({"channels_per_lead": 8, "depth": 4, **sizes})
        model = dict(FsqAutoencoder(config).state_dict())
        if change is not None:
            change(model)
        torch.save({"model": model, "step": 1500}, tmp_path / name)
        return tmp_path / name

    return make
