"""Segments in standard deviations keep what turns them into mV again, row by row."""

import numpy as np
import pytest

from ecg_fairseq.cli.prepare import prepare_dataset
from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.files import read_json
from ecg_fairseq.records.datasets.registry import dataset_module
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.store import Shard, write_scaling
from ecg_fairseq.records.preparation.merge import merge
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes import get_recipe


def prepared(raw, out, *more, recipe="heartllm") -> Manifest:
    words = [str(raw), "--out", str(out), "--recipe", recipe, "--progress", "silent", *more]
    assert prepare_dataset("ptb_xl", words) == 0
    return Manifest.load(out)


def in_mv(manifest: Manifest, row: int) -> np.ndarray:
    scaling = manifest.store.scaling(row)
    assert scaling is not None
    assert (scaling.dtype, scaling.shape) == (np.float32, (manifest.shape[0], 2))
    return manifest.store.read(row) * scaling[:, 1:] + scaling[:, :1]


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_every_segment_is_its_recording_in_mv(dtype, ptb_xl, tmp_path):
    ptb_xl.signals[3] = np.concatenate([ptb_xl.signals[3], 2 * ptb_xl.signals[5]], axis=1)
    ptb_xl.signals[4][7] = 250  # flat: its deviation is 0
    manifest = prepared(ptb_xl.write(), tmp_path / "m", "--dtype", dtype)
    rows = {row.record_id: row for row in manifest.records.values()}
    tolerance = 1e-5 if dtype == "float32" else 0.0005 * 2
    for number in (1, 3, 4):
        row = rows[f"{number:05d}_hr"] if f"{number:05d}_hr" in rows else rows[str(number)]
        record = read_record(ptb_xl.header(number).with_suffix(""))
        assert row.num_segments == (2 if number == 3 else 1)
        for k in range(row.num_segments):
            wanted = record.signal[:, 5000 * k : 5000 * (k + 1)]
            assert np.abs(in_mv(manifest, row.first_row + k) - wanted).max() < tolerance
    flat = manifest.store.scaling(row.first_row)[7]
    assert flat.tolist() == pytest.approx([0.25, 0.0])


def test_other_recipes_write_what_they_wrote(ptb_xl, tmp_path):
    manifest = prepared(ptb_xl.write(), tmp_path / "m", recipe="ecg_byte")
    assert manifest.store.scaling(0) is None
    assert set(manifest.meta["store"]["shards"][0]) == {"file", "rows", "sha256"}
    assert not list((tmp_path / "m/store").glob("*scaling*"))


def test_a_finished_folder_stays_and_a_damaged_one_is_healed(ptb_xl, tmp_path):
    manifest = prepared(ptb_xl.write(), tmp_path / "m")
    path = tmp_path / "m/store/shard-00000.scaling.npy"
    good = path.read_bytes()
    manifest.store.verify()
    path.write_bytes(good[:-1] + b"\x00")
    with pytest.raises(ManifestError, match="was changed after it was written"):
        Manifest.load(tmp_path / "m").store.verify()
    assert prepared(ptb_xl.folder, tmp_path / "m").store.scaling(0) is not None
    assert path.read_bytes() == good
    path.unlink()
    with pytest.raises(ManifestError, match="cannot be opened"):
        Manifest.load(tmp_path / "m").store.scaling(0)


def test_a_file_of_other_rows_is_refused(ptb_xl, tmp_path):
    manifest = prepared(ptb_xl.write(), tmp_path / "m")
    np.save(tmp_path / "m/store/shard-00000.scaling.npy", np.zeros((3, 12, 2), np.float32))
    with pytest.raises(ManifestError, match=r"shape \(3, 12, 2\)"):
        Manifest.load(manifest.path).store.scaling(0)
    with pytest.raises(EcgError, match="2 rows of scaling for the 5 rows"):
        write_scaling(tmp_path, Shard("store/x.npy", 5, "0"), [np.zeros((2, 12, 2))])


def test_merged_parts_keep_it(ptb_xl, tmp_path):
    ptb_xl.write()
    part, single_folder = tmp_path / "part", tmp_path / "single"
    words = [str(ptb_xl.folder), "--out", str(part), "--recipe", "heartllm", "--shard", "0/1"]
    assert prepare_dataset("ptb_xl", [*words, "--progress", "silent"]) == 0
    merge([part], tmp_path / "merged", dataset_module)
    merged = Manifest.load(tmp_path / "merged")
    single = prepared(ptb_xl.folder, single_folder)
    assert np.array_equal(merged.store.scaling(4), single.store.scaling(4))
    shards = [read_json(m.path / "meta.json", ManifestError, "")["store"] for m in (merged, single)]
    assert shards[0] == shards[1]


@pytest.mark.parametrize("name", ["heartllm", "heartllm_reference"])
def test_both_recipes_of_heartllm_say_their_scaling(name):
    recipe = get_recipe(name)
    signal = np.random.default_rng(0).normal(0.3, 0.7, (12, 5000))
    segments, scaling = recipe.apply_scaled(signal, CANONICAL_LEADS, 500.0)
    assert np.array_equal(segments, recipe.apply(signal, CANONICAL_LEADS, 500.0))
    rows = [CANONICAL_LEADS.index(lead) for lead in recipe.leads]
    back = segments[0] * scaling[0, :, 1:] + scaling[0, :, :1]
    assert np.abs(back - signal[rows]).max() < 1e-6


def test_a_recipe_in_mv_says_none():
    signal = np.random.default_rng(0).normal(0.3, 0.7, (12, 5000))
    assert get_recipe("ecg_byte").apply_scaled(signal, CANONICAL_LEADS, 500.0)[1] is None
