"""Load batches of 5-s segments (12 leads by 2500 samples): our store against ``.mat`` files.

The peer reads one file a segment with scipy and stacks a batch, as fairseq-signals does; its
batches must equal ours to the last bit. Files and store are warm in the page cache. Ours is timed
plain and with random lead masking, in one process and with one and two worker processes. Two can
only be twice as fast as one where a third processor is free for the training process.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import interleave, versions
from ecg_fairseq.data.signals.segment_dataset import SegmentDataset, SignalOptions
from ecg_fairseq.files import sha256_of_json
from ecg_fairseq.records.manifest.store import write_shard
from ecg_fairseq.records.preparation.manifest_writer import ManifestContent, write_manifest
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.segments.segment_list import SegmentList
from ecg_fairseq.signal.augmentations import RandomLeadMasking
from ecg_fairseq.signal.recipes import get_recipe

NUM_WORKERS = (1, 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the stage."""
    parser.add_argument("--segments", type=int, default=1024, help="distinct segments")
    parser.add_argument("--batch-size", type=int, default=64, help="segments a batch")
    parser.add_argument("--passes", type=int, default=4, help="passes over them, a round")
    parser.add_argument("--repeats", type=int, default=7, help="rounds")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return times of ours and of the peer in one process, then of ours with worker processes."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segments = _write_store(folder / "manifest", arguments.segments)
        files = _write_files(folder / "segmented", segments)
        plain = SegmentDataset(segments, SignalOptions())
        masked = SegmentDataset(segments, SignalOptions(), RandomLeadMasking(), is_training=True)
        order = plain.batch_by_size(plain.ordered_indices(), None, arguments.batch_size)
        batches = [batch.tolist() for batch in order]
        _check_equal(plain, files, batches)
        alone = {
            "mat files": _passes(files, _stacked, batches),
            "ours": _passes(plain, plain.collater, batches),
            "ours, masked leads": _passes(masked, masked.collater, batches),
        }
        timings = interleave(alone, arguments.repeats)
        workers = {
            f"{kind}, {number} workers": _passes(one, one.collater, batches, number, arguments)
            for kind, one in (("plain", plain), ("masked leads", masked))
            for number in NUM_WORKERS
        }
        many = interleave(workers, arguments.repeats)
    result = {"stage": "loader", "segments": arguments.segments, "batch": arguments.batch_size}
    scale = 1e3 / arguments.segments
    result["ms_per_record"] = {kind: timings.median_wall(kind) * scale for kind in alone}
    result["times_as_fast"] = timings.ratio("ours", "mat files")
    scale /= arguments.passes
    result["ms_per_record_with_workers"] = {
        kind: many.median_wall(kind) * scale for kind in workers
    }
    pairs = {
        kind: [many.wall_s[f"{kind}, {number} workers"] for number in NUM_WORKERS]
        for kind in ("plain", "masked leads")
    }
    for name, middle in (("median", statistics.median), ("best", min)):
        result[f"two_workers_against_one_{name}"] = {
            kind: middle(one) / middle(two) for kind, (one, two) in pairs.items()
        }
    result["one_process"] = timings.to_dict("mat files")
    result["workers"] = many.to_dict("plain, 1 workers")
    return result | {"versions": versions(("numpy", "scipy", "torch"))}


class MatDataset(Dataset):
    """One file a segment, read as fairseq-signals reads it."""

    def __init__(self, folder: Path, ids: list[int]) -> None:
        self.folder = folder
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        content = scipy.io.loadmat(self.folder / f"{index}.mat")
        return {
            "id": index,
            "source": torch.from_numpy(content["feats"]).float(),
            "patient_id": int(content["idx"][0, 0]),
        }


def _stacked(samples: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": torch.tensor([sample["id"] for sample in samples]),
        "patient_id": torch.tensor([sample["patient_id"] for sample in samples]),
        "net_input": {"source": torch.stack([sample["source"] for sample in samples])},
    }


def _write_store(folder: Path, count: int) -> SegmentList:
    """Write a manifest of ``count`` recordings of one segment each."""
    recipe = get_recipe("ecg_fm")
    rows = [
        RecordRow(f"r{at}", f"p{at}", "train", fs_hz=500.0, first_row=at, num_segments=1)
        for at in range(count)
    ]
    blocks = (np.random.default_rng(at).normal(size=(1, *recipe.shape)) for at in range(count))
    shard = write_shard(folder, 0, blocks, recipe.shape, "float32")
    content = ManifestContent(
        dataset="benchmark",
        recipe=recipe,
        dtype="float32",
        shards=[shard],
        records=rows,
        questions={},
        statistics={},
        signal_hashes={row.record_id: sha256_of_json(row.record_id) for row in rows},
        split_rule="patient",
        seed=0,
    )
    write_manifest(folder, content)
    return SegmentList.load(folder / "train.tsv")


def _write_files(folder: Path, segments: SegmentList) -> MatDataset:
    """Write the segments with all that fairseq-signals' files hold."""
    folder.mkdir()
    for at in range(len(segments)):
        segment = segments.read(at)
        numbers = {"org_sample_rate": 500, "curr_sample_rate": 500, "segment_i": 0}
        sizes = {"org_sample_size": 5000, "curr_sample_size": segment.signal.shape[1]}
        moments = {"mean": np.zeros((12, 1)), "std": np.ones((12, 1))}
        content = {"feats": segment.signal.astype(np.float64), "idx": segment.idx}
        scipy.io.savemat(folder / f"{at}.mat", {**content, **numbers, **sizes, **moments})
    return MatDataset(folder, list(range(len(segments))))


def _check_equal(ours: SegmentDataset, files: MatDataset, batches: list[list[int]]) -> None:
    for batch in batches:
        mine = ours.collater([ours[index] for index in batch])
        theirs = _stacked([files[index] for index in batch])
        same = all(torch.equal(mine[key], theirs[key]) for key in ("id", "patient_id"))
        if not same or not torch.equal(mine["net_input"]["source"], theirs["net_input"]["source"]):
            raise ValueError("the batches of store and files differ")


def _passes(
    dataset: Dataset,
    collater: Callable[[list[Any]], dict[str, Any]],
    batches: list[list[int]],
    num_workers: int = 0,
    arguments: argparse.Namespace | None = None,
) -> Callable[[], None]:
    """Return a call that loads all batches; worker processes live from the first call on."""
    loader = DataLoader(
        dataset,
        batch_sampler=batches * (arguments.passes if arguments else 1),
        collate_fn=collater,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )

    def call() -> None:
        for _ in loader:
            pass

    return call
