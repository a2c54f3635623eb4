"""A small manifest of labelled 12-lead segments, made in a second, with all that finetuning needs.

Every patient has an own shape in the twelve leads; a recording is ``fast`` or ``tall`` or both,
which its labels say. Files, hashes and splits are as in a real manifest; segments are 320 samples.
"""

from pathlib import Path

import numpy as np

from ecg_fairseq.files import sha256_of_json
from ecg_fairseq.records.labels.label_files import LABEL_FOLDER, label_matrix, write_label_files
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.store import write_shard
from ecg_fairseq.records.preparation.manifest_writer import ManifestContent, write_manifest
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.segments.pair_lists import write_pair_manifests
from ecg_fairseq.signal.recipes.ecg_fm import EcgFmRecipe

SIDES = ("train", "train", "train", "valid", "test")
NUM_SAMPLES = 320
# What makes the shipped tiny YAMLs small enough for a test of seconds.
SMALL_ENCODER = (
    "model.encoder_layers=1",
    "model.encoder_embed_dim=32",
    "model.encoder_ffn_embed_dim=64",
    "model.encoder_attention_heads=2",
    "model.conv_feature_layers='[(16, 2, 2)] * 4'",
    "model.conv_pos=8",
    "model.conv_pos_groups=2",
)
SMALL_HEAD = (
    "model.final_dim=16",
    "model.latent_vars=8",
    "model.num_negatives=5",
    "model.mask_length=2",
)


def make_ecg_fm_manifest(
    folder: Path,
    num_patients: int = 20,
    seed: int = 0,
    num_samples: int = NUM_SAMPLES,
    dataset: str = "toy",
    turn: int = 0,
) -> Path:
    """Write ``folder/manifest``: two recordings a patient, two segments a recording.

    ``turn`` moves patients to other splits: with 2, the valid and test splits are of patients that
    are trained on without.
    """
    recipe = EcgFmRecipe("toy_ecg_fm", 1, window_samples=num_samples)
    rng = np.random.default_rng(seed)
    rows, signals, labels = [], [], {}
    for patient in range(num_patients):
        shape = rng.normal(size=(12, 4))
        for visit in range(2):
            is_fast, is_tall = (bool(value) for value in rng.integers(2, size=2))
            record_id = f"r{patient}_{visit}"
            rows.append(
                RecordRow(
                    record_id,
                    f"p{patient}",
                    SIDES[(patient + turn) % len(SIDES)],
                    fs_hz=500.0,
                    first_row=len(signals),
                    num_segments=2,
                )
            )
            labels[record_id] = [n for n, on in (("fast", is_fast), ("tall", is_tall)) if on]
            signals += [_segment(rng, shape, is_fast, is_tall, num_samples) for _ in range(2)]
    values = np.stack(signals)
    target = folder / "manifest"
    shard = write_shard(target, 0, [values], recipe.shape, "float32")
    content = ManifestContent(
        dataset=dataset,
        recipe=recipe,
        dtype="float32",
        shards=[shard],
        records=rows,
        questions={side: [] for side in ("train", "valid", "test")},
        statistics={"percentile_1": -2.0, "percentile_99": 2.0, "num_values": values.size},
        signal_hashes={row.record_id: sha256_of_json(row.record_id) for row in rows},
        split_rule="patient",
        seed=seed,
    )
    write_manifest(target, content)
    label_set = LabelSet("toy", ("fast", "tall"), lambda row: labels[row.record_id])
    write_label_files(target / LABEL_FOLDER, label_matrix(label_set, rows))
    write_pair_manifests(target, rows, Manifest.load(target).store)
    return target


def _segment(
    rng: np.random.Generator, shape: np.ndarray, is_fast: bool, is_tall: bool, num_samples: int
) -> np.ndarray:
    """Four harmonics whose weights are the patient's, z-scored; tall ones have a spike."""
    turns = 2 * np.pi * np.arange(num_samples) * (4 if is_fast else 2) / num_samples
    waves = np.stack([np.cos(k * (turns + rng.uniform(0, 6))) for k in range(1, 5)])
    signal = shape @ waves + 0.1 * rng.normal(size=(12, num_samples))
    if is_tall:
        start = int(rng.integers(num_samples // 2))
        signal[:, start : start + num_samples // 20] += 6.0
    signal -= signal.mean(axis=1, keepdims=True)
    return (signal / signal.std(axis=1, keepdims=True)).astype(np.float32)
