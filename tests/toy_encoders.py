"""Small ECG-FM checkpoints in our layout, and recordings to feed them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecg_fairseq.networks.ecg_fm.checkpoint import NETWORKS
from ecg_fairseq.records.datasets.own_data import OwnData, own_dataset
from ecg_fairseq.records.labels.label_files import LabelMatrix, write_label_files
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipe import Recipe
from ecg_fairseq.signal.recipes import get_recipe

SMALL = {
    "encoder_layers": 2, "encoder_embed_dim": 32, "encoder_ffn_embed_dim": 48,
    "encoder_attention_heads": 4, "conv_feature_layers": "[(16, 2, 2)] * 4", "in_d": 12,
    "conv_pos": 16, "conv_pos_groups": 4,
}  # fmt: skip
LABELS = ("Sinus rhythm", "Poor data quality", "Infarction")


def save_encoder(
    path: Path,
    name: str = "ecg_transformer_classifier",
    task: dict[str, Any] | None = None,
    task_state: dict[str, Any] | None = None,
    seed: int = 0,
    **changes: Any,
) -> torch.nn.Module:
    """Write a checkpoint with random weights, and return its network in evaluation mode."""
    settings = {**SMALL, **changes}
    if name in ("arcface", "ecg_transformer_classifier"):
        settings = {"num_labels": len(LABELS), **settings}
    if "wav2vec2" in name:
        settings = {"apply_mask": True, "final_dim": 8, **settings}
    kind, config_kind = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = kind(config_kind(**settings)).eval()
    cfg = {"model": {"_name": name, **asdict(network.config)}, "task": task or {}}
    state = {"cfg": cfg, "model": network.state_dict(), "task_state": task_state or {}}
    torch.save(state, path)
    return network


def state_of(recipe: Recipe, split_hash: str = "0" * 64, **more: Any) -> dict[str, Any]:
    """Return what the tasks put into a checkpoint."""
    named = {"name": recipe.name, "hash": recipe.hash()}
    return {"dataset": "toy", "recipe": named, "split_hash": split_hash, **more}


def save_record(path: Path, seconds: float = 10.0, fs_hz: float = 500.0, seed: int = 0) -> Path:
    """Write a noisy twelve-lead recording as ``.npy`` with its sidecar."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(12, round(seconds * fs_hz))).cumsum(axis=1) / 20
    np.save(path, signal.astype(np.float32))
    sidecar = {"leads": list(CANONICAL_LEADS), "fs_hz": fs_hz}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    return path


def make_segment_manifest(folder: Path, num_records: int = 24, seconds: float = 10.0) -> Path:
    """Write ``folder/manifest`` with recipe ecg_fm: two recordings a patient, two labels.

    The first label says whether all leads carry a fast oscillation; the second is noise, and
    unknown for the last recording.
    """
    rng = np.random.default_rng(0)
    samples = round(seconds * 500)
    signals = rng.normal(size=(num_records, 12, samples)).cumsum(axis=2) / 20
    truth = np.stack([np.arange(num_records) % 3 == 0, rng.integers(0, 2, num_records)], axis=1)
    signals[truth[:, 0] == 1] += 100 * np.sin(np.arange(samples) * 0.6)
    np.save(folder / "ecgs.npy", signals.astype(np.float32))
    sides = ("train", "train", "train", "valid", "test", "test")
    lines = ["record_id,patient_id,split"]
    for number in range(num_records):
        lines.append(f"r{number},p{number // 2},{sides[number // 2 % len(sides)]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    data = OwnData(folder / "ecgs.npy", fs_hz=500, labels=folder / "labels.csv", split="column")
    # The oscillation is far higher than any ECG.
    options = PrepareOptions(folder / "manifest", get_recipe("ecg_fm"), accept_amplitude=True)
    prepare(own_dataset(data), options)
    rows = list(Manifest.load(folder / "manifest").records.values())
    values = truth[[int(row.record_id[1:]) for row in rows]].astype(float)
    values[-1] = np.nan
    matrix = LabelMatrix(("Fast", "Coin"), values, tuple(row.split for row in rows))
    write_label_files(folder / "manifest" / "labels", matrix)
    return folder / "manifest"
