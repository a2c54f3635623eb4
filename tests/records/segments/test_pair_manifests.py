"""CMSC and identification lists: pairing rule, sides, ids, and what is not written."""

from dataclasses import replace

import numpy as np
import pytest

from ecg_fairseq.records.datasets.ptb_xl import ptb_xl_dataset
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.store import Store, write_shard
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.segments.pair_lists import write_pair_manifests
from ecg_fairseq.signal.recipes import get_recipe

SHAPE = (12, 10)


@pytest.fixture
def store(tmp_path):
    """Two shards of 6 and 7 rows."""
    blocks = [np.zeros((rows, *SHAPE), np.float32) for rows in (6, 7)]
    shards = [write_shard(tmp_path, i, [block], SHAPE, "float32") for i, block in enumerate(blocks)]
    description = {"dtype": "float32", "shards": [shard.to_dict() for shard in shards]}
    return Store(tmp_path, description, SHAPE)


ROWS = [
    RecordRow("a", "p0", "train", first_row=0, num_segments=3),
    RecordRow("b", "p1", "valid", first_row=3, num_segments=1),
    RecordRow("c", "p1", "valid", first_row=4, num_segments=2),
    RecordRow("x", "p1", "", status="skipped", reason="flat"),
    RecordRow("d", "p2", "train", first_row=6, num_segments=4),
    RecordRow("e", "p0", "train", first_row=10, num_segments=1),
    RecordRow("f", "p3", "test", first_row=11, num_segments=2),
]


def lines(path):
    return path.read_text().splitlines()


def test_neighbours_of_one_recording_are_paired(store, tmp_path):
    written = write_pair_manifests(tmp_path, ROWS, store)
    root = str(tmp_path.resolve())
    assert lines(tmp_path / "cmsc/train.tsv") == [
        root,
        "npy",
        "store/shard-00000\t10\t0\t0,1",
        "store/shard-00001\t10\t0\t0,1",
        "store/shard-00001\t10\t0\t2,3",
    ]
    assert lines(tmp_path / "cmsc/valid.tsv")[2:] == ["store/shard-00000\t10\t0\t4,5"]
    assert lines(tmp_path / "cmsc/test.tsv")[2:] == ["store/shard-00001\t10\t0\t5,6"]
    assert written["cmsc"] == {"train": 3, "valid": 1, "test": 1}


def test_people_are_numbered_by_first_appearance_and_by_side(store, tmp_path):
    written = write_pair_manifests(tmp_path, ROWS, store)
    folder = tmp_path / "identification"
    assert lines(folder / "train.tsv")[1:] == [
        *(f"store/shard-00000.npy:{row}\t10\t0" for row in range(3)),
        *(f"store/shard-00001.npy:{row}\t10\t1" for row in range(4)),
        "store/shard-00001.npy:4\t10\t0",
    ]
    assert lines(folder / "valid_gallery.tsv")[1:] == ["store/shard-00000.npy:3\t10\t0"]
    assert lines(folder / "valid_probe.tsv")[1:] == ["store/shard-00000.npy:4\t10\t0"]
    assert len(lines(folder / "test_probe.tsv")) == 1
    assert written["identification"] == {
        "train": 8,
        "valid_gallery": 1,
        "valid_probe": 1,
        "test_gallery": 0,
        "test_probe": 0,
    }


def test_a_copy_of_the_gallery_is_no_probe(store, tmp_path):
    hashes = {row.record_id: row.record_id for row in ROWS} | {"b": "same", "c": "same"}
    assert "identification" not in write_pair_manifests(tmp_path, ROWS, store, hashes)
    assert not (tmp_path / "identification").exists()


def test_nothing_is_written_where_nothing_can_be_compared(store, tmp_path):
    rows = [replace(row, num_segments=min(1, row.num_segments), split="train") for row in ROWS]
    assert write_pair_manifests(tmp_path, rows, store) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def test_the_preparation_writes_both(ptb_xl, tmp_path):
    ptb_xl.row(10)["patient_id"] = "109.0"
    cohort = ptb_xl_dataset(ptb_xl.write())
    recipe = get_recipe("ecg_fm")
    prepare(cohort, PrepareOptions(tmp_path / "m", recipe, progress="silent"))
    manifest = Manifest.load(tmp_path / "m")
    assert manifest.meta["pairs"]["cmsc"] == {"train": 8, "valid": 2, "test": 2}
    assert manifest.meta["pairs"]["identification"]["valid_probe"] == 1
    pair = lines(tmp_path / "m/cmsc/valid.tsv")[2].split("\t")
    assert pair[1:3] == ["2500", "0"]
    first, second = map(int, pair[3].split(","))
    shard = np.load(tmp_path / f"m/{pair[0]}.npy")
    row = manifest.record_row("9")
    assert (first, second) == (row.first_row, row.first_row + 1)
    np.testing.assert_array_equal(shard[second], manifest.segment("9", 1))
    locator = lines(tmp_path / "m/identification/valid_probe.tsv")[1].split("\t")[0]
    file, place = locator.split(":")
    np.testing.assert_array_equal(
        np.load(tmp_path / "m" / file)[int(place)], manifest.segment("10", 0)
    )


def test_pairs_of_an_earlier_preparation_go(ptb_xl, tmp_path):
    cohort = ptb_xl_dataset(ptb_xl.write())
    out = tmp_path / "m"
    prepare(cohort, PrepareOptions(out, get_recipe("ecg_fm"), progress="silent"))
    assert (out / "cmsc/train.tsv").is_file()
    beat = PrepareOptions(out, get_recipe("ecg_byte_beat"), progress="silent", overwrite=True)
    prepare(cohort, beat)
    assert not (out / "cmsc").exists()
    assert "pairs" not in Manifest.load(out).meta
