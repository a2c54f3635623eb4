"""Networks small enough for tests, and files in fairseq-signals' layout made of them."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from ecg_fairseq.networks.ecg_fm.checkpoint import NETWORKS
from ecg_fairseq.networks.ecg_fm.convert import MODEL_NAMES

SMALL = {
    "encoder_layers": 2, "encoder_embed_dim": 32, "encoder_ffn_embed_dim": 48,
    "encoder_attention_heads": 4, "conv_feature_layers": "[(16, 2, 2)] * 4", "in_d": 12,
    "conv_pos": 16, "conv_pos_groups": 4,
}  # fmt: skip
CONTRASTIVE = {
    **SMALL, "apply_mask": True, "mask_prob": 0.65, "quantize_targets": True, "final_dim": 8,
    "latent_vars": 6, "latent_groups": 2, "num_negatives": 7,
}  # fmt: skip


def small_network(name: str, **changes: Any) -> torch.nn.Module:
    """Build a small network of a registered model, the same one each time."""
    base = CONTRASTIVE if "wav2vec2" in name else SMALL
    if name in ("arcface", "ecg_transformer_classifier"):
        base = {**base, "num_labels": 3}
    network, config = NETWORKS[name]
    torch.manual_seed(0)
    return network(config(**{**base, **changes}))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks lose more time to threads than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def build() -> Callable[..., torch.nn.Module]:
    return small_network


@pytest.fixture
def signals() -> torch.Tensor:
    """Eight segments of twelve leads and 640 samples (40 frames)."""
    return torch.randn(8, 12, 640, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def foreign_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint as fairseq-signals does."""

    def write(
        name: str = "wav2vec2_cmsc",
        key_style: str = "weight_g",
        settings: dict[str, Any] | None = None,
        tensors: dict[str, Any] | None = None,
        **entries: Any,
    ) -> Path:
        network = small_network(MODEL_NAMES[name], padding_reaches_positions=True)
        state = dict(network.state_dict())
        if key_style == "weight_g":
            for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
                for key in [key for key in state if key.endswith(new)]:
                    state[key.replace(f"parametrizations.weight.{new}", old)] = state.pop(key)
        ours = ("padding_reaches_positions", "checkpoint_activations", "compile_layers")
        model = {key: value for key, value in asdict(network.config).items() if key not in ours}
        model |= {"_name": name, "normalize": False, "filter": False, "data": "m", "args": None}
        path = tmp_path / "foreign.pt"
        torch.save(
            {
                "args": None,
                "cfg": {
                    "_name": None,
                    "common": {"seed": 1, "wandb_entity": None},
                    "model": {**model, "all_gather": False, **(settings or {})},
                    "task": {"_name": "ecg_pretraining", "data": "m", "sample_rate": 500},
                    "criterion": {"_name": "wav2vec2_with_cmsc", "infonce": True},
                },
                "model": {**state, **(tensors or {})},
                "criterion": None,
                "optimizer_history": [{"num_updates": 5}],
                "task_state": {},
                "extra_state": {},
                "last_optimizer_state": {"state": {}},
                **entries,
            },
            path,
        )
        return path

    return write
