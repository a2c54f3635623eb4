"""Batches carry mean and deviation in mV of their rows, in the order of the loaded leads."""

from pathlib import Path

import numpy as np
import torch
from ecg_fm_manifest import make_ecg_fm_manifest

from ecg_fairseq.data.signals.segment_dataset import SegmentDataset
from ecg_fairseq.data.signals.signal_options import SignalOptions
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import read_json, write_json
from ecg_fairseq.records.manifest.store import Shard, write_scaling
from ecg_fairseq.records.segments.segment_list import SegmentList
from ecg_fairseq.signal.leads import CANONICAL_LEADS


def with_scaling(folder: Path) -> tuple[Path, np.ndarray]:
    """Return a manifest whose store says row and lead as mean and deviation, and these numbers."""
    manifest = make_ecg_fm_manifest(folder, 4)
    meta = read_json(manifest / "meta.json", ManifestError, "meta")
    (described,) = meta["store"]["shards"]
    rows = np.arange(described["rows"], dtype=np.float32)
    values = np.stack(np.broadcast_arrays(rows[:, None], np.arange(12, dtype=np.float32)), -1)
    shard = write_scaling(manifest, Shard(**described), [values])
    meta["store"]["shards"] = [shard.to_dict()]
    write_json(manifest / "meta.json", meta)
    return manifest, values


def first_batch(manifest: Path, **options) -> dict:
    segments = SegmentList.load(manifest / "train.tsv")
    dataset = SegmentDataset(segments, SignalOptions(**options))
    return dataset.collater([dataset[place] for place in (3, 0)])


def test_rows_are_those_of_the_segments(tmp_path):
    manifest, values = with_scaling(tmp_path)
    rows = SegmentList.load(manifest / "train.tsv")
    found = first_batch(manifest)["lead_scaling"]
    assert found.dtype == torch.float32
    assert len(rows) > 3
    assert np.array_equal(found.numpy(), values[[3, 0]])


def test_chosen_and_filled_leads(tmp_path):
    manifest, values = with_scaling(tmp_path)
    found = first_batch(manifest, leads_to_load="V2,I")["lead_scaling"]
    assert np.array_equal(found.numpy(), values[[3, 0]][:, [CANONICAL_LEADS.index("V2"), 0]])
    filled = first_batch(manifest, leads_to_load="V2,I", enable_padding_leads=True)["lead_scaling"]
    assert filled.shape == (2, 12, 2)
    assert filled[0, 7].tolist() == [3.0, 7.0]
    assert not filled[:, 1].any()


def test_none_where_the_store_says_none_or_other_statistics_were_applied(tmp_path):
    assert "lead_scaling" not in first_batch(make_ecg_fm_manifest(tmp_path / "plain", 4))
    manifest, _ = with_scaling(tmp_path)
    for name in ("mean", "std"):
        (tmp_path / name).write_text("1\n" * 12)
    texts = {"mean_path": str(tmp_path / "mean"), "std_path": str(tmp_path / "std")}
    assert "lead_scaling" not in first_batch(manifest, normalize=True, **texts)
