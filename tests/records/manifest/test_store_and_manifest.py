"""The packed store and the reading side of a manifest folder, whole and damaged."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_fairseq.errors import EcgError, ManifestError, RecipeError
from ecg_fairseq.files import read_json, write_json
from ecg_fairseq.records.datasets.ptb_xl import ptb_xl_dataset
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.store import Store, prepared_sha256, write_shard
from ecg_fairseq.records.preparation.manifest_writer import set_tokenizer
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.record_row import COLUMNS, RecordRow
from ecg_fairseq.signal.recipes import get_recipe


def open_store(folder, shards, shape, dtype="float32"):
    description = {"dtype": dtype, "shards": [shard.to_dict() for shard in shards]}
    return Store(folder, description, shape)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_rows_come_back_from_several_shards(tmp_path, dtype):
    generator = np.random.default_rng(0)
    blocks = [generator.normal(size=(n, 2, 5)).astype(np.float32) for n in (3, 0, 2)]
    first = write_shard(tmp_path, 0, blocks, (2, 5), dtype)
    second = write_shard(tmp_path, 1, [], (2, 5), dtype)
    third = write_shard(tmp_path, 2, blocks[2:], (2, 5), dtype)
    store = open_store(tmp_path, [first, second, third], (2, 5), dtype)
    everything = np.concatenate([*blocks, blocks[2]])
    assert len(store) == 7
    got = np.array([store.read(row) for row in range(7)])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, everything, atol=0 if dtype == "float32" else 0.000501)
    assert store.locator(6) == "store/shard-00002.npy:1"
    assert np.load(tmp_path / first.file).shape == (5, 2, 5)
    store.verify()
    assert len(pickle.dumps(store)) < 2000
    for row in (-1, 7):
        with pytest.raises(ManifestError, match="row"):
            store.read(row)


def test_int16_clips_instead_of_wrapping(tmp_path):
    shard = write_shard(tmp_path, 0, [np.array([[40.0, -40.0]])], (2,), "int16")
    row = open_store(tmp_path, [shard], (2,), "int16").read(0)
    np.testing.assert_allclose(row, [32.767, -32.767], rtol=1e-6)


def test_a_shard_that_fails_leaves_nothing_behind(tmp_path):
    def blocks():
        yield np.zeros((1, 4), np.float32)
        raise KeyError("disk")

    with pytest.raises(KeyError):
        write_shard(tmp_path, 0, blocks(), (4,), "float32")
    with pytest.raises(EcgError, match="shape"):
        write_shard(tmp_path, 0, [np.zeros((1, 3), np.float32)], (4,), "float32")
    assert not list((tmp_path / "store").iterdir())


def test_damaged_shards_are_refused(tmp_path):
    shard = write_shard(tmp_path, 0, [np.ones((3, 4), np.float32)], (4,), "float32")
    path = tmp_path / shard.file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ManifestError, match="changed after"):
        open_store(tmp_path, [shard], (4,)).verify()
    path.write_bytes(bytes(data[:-5]))
    with pytest.raises(ManifestError, match="cannot be opened"):
        open_store(tmp_path, [shard], (4,)).read(0)
    np.save(path, np.ones((3, 5), np.float32))
    with pytest.raises(ManifestError, match=r"meta\.json says"):
        open_store(tmp_path, [shard], (4,)).read(0)
    outside = {"dtype": "float32", "shards": [{"file": "../x.npy", "rows": 1, "sha256": ""}]}
    with pytest.raises(ManifestError, match="bad store shard"):
        Store(tmp_path, outside, (4,))


texts = st.text(max_size=20)


@settings(max_examples=100, deadline=None)
@given(texts, texts, texts, st.none() | st.floats(0, 300).map(lambda age: round(age, 2)))
def test_a_record_line_survives_any_text(name, report, reason, age):
    row = RecordRow(name, "p", "train", age, "male", 500.0, "{}", report, "s", "ok", reason, 4, 2)
    line = row.to_line()
    assert len(line.splitlines() or [""]) == 1
    back = RecordRow.from_line(line + "\n", "here")
    assert (back.first_row, back.num_segments, back.patient_id) == (4, 2, "p")
    assert back.age == (None if age is None else pytest.approx(age, rel=1e-5))
    assert len(back.report) == len(report)


@pytest.fixture
def manifest_dir(ptb_xl, tmp_path):
    options = PrepareOptions(tmp_path / "m", get_recipe("ecg_byte_beat"), progress="silent")
    prepare(ptb_xl_dataset(ptb_xl.write()), options)
    return tmp_path / "m"


def test_other_preparations_of_the_same_recordings_have_another_hash(ptb_xl, tmp_path):
    folder = ptb_xl.write()
    metas = []
    for name in ("ecg_byte", "ecg_byte@1", "ecg_byte"):
        out = tmp_path / f"m{len(metas)}"
        prepare(ptb_xl_dataset(folder), PrepareOptions(out, get_recipe(name), progress="silent"))
        manifest = Manifest.load(out)
        assert manifest.recipe() is get_recipe(name)
        metas.append(manifest.meta)
    assert len({meta["data_sha256"] for meta in metas}) == 1
    hashes = [prepared_sha256(meta) for meta in metas]
    assert hashes[0] == hashes[2] != hashes[1]
    assert len(hashes[0]) == 64
    assert prepared_sha256({}) is None


def test_a_manifest_holds_what_the_contract_says(manifest_dir, ptb_xl):
    manifest = Manifest.load(manifest_dir)
    recipe = get_recipe("ecg_byte_beat")
    assert manifest.recipe() is recipe
    assert manifest.strips == recipe.strips
    assert manifest.meta["counts"] == {
        "records": 12,
        "skipped": 0,
        "segments": 12,
        "questions": {"train": 0, "valid": 0, "test": 0},
    }
    assert manifest.meta["split"]["patients"] == {"train": 8, "valid": 2, "test": 2}
    row = manifest.record_row("3")
    assert (row.patient_id, row.age, row.sex, row.fs_hz) == ("103", 56.0, "female", 500.0)
    assert row.labels["superclass"] == ["MI"]
    assert row.report == "sinus rhythm normal"
    lines = (manifest_dir / "valid.tsv").read_text().splitlines()
    assert lines[0] == str(manifest_dir)
    size = recipe.num_values
    assert lines[1:] == [f"store/shard-00000.npy:{row}\t{size}" for row in (8, 9)]
    signal = ptb_xl.signals[9] / 1000.0
    from ecg_fairseq.signal.leads import CANONICAL_LEADS

    wanted = recipe.apply(signal.astype(np.float32), CANONICAL_LEADS, 500.0)[0]
    np.testing.assert_array_equal(manifest.segment("9"), wanted)
    values = np.concatenate([manifest.segment(str(number)) for number in range(1, 9)])
    assert manifest.meta["statistics"]["num_values"] == values.size
    assert abs(manifest.meta["statistics"]["percentile_99"] - np.percentile(values, 99)) < 0.002
    with pytest.raises(ManifestError, match="not in records"):
        manifest.segment("99")
    with pytest.raises(ManifestError, match="segment 1"):
        manifest.segment("3", 1)


def test_damaged_manifests_are_refused(manifest_dir, tmp_path):
    with pytest.raises(ManifestError, match="not found"):
        Manifest.load(tmp_path / "nowhere")
    meta = read_json(manifest_dir / "meta.json", ManifestError, "meta")
    for change, message in (
        ({"format": "other"}, "does not describe"),
        ({"version": 99}, "version 99"),
        ({"layout": {"shape": [3]}}, "incomplete"),
        ({"store": None}, "no 'store'"),
        ({"split": {}}, "no split hash"),
    ):
        write_json(manifest_dir / "meta.json", {**meta, **change})
        with pytest.raises(ManifestError, match=message):
            Manifest.load(manifest_dir)
    write_json(manifest_dir / "meta.json", meta)
    records = (manifest_dir / "records.tsv").read_text()
    for text, message in (
        ("", "starts with columns"),
        ("\t".join(COLUMNS) + "\na\tb\n", "2 columns"),
        (records.replace("\t500\t", "\tfast\t", 1), "fast"),
        (records + records.splitlines()[-1] + "\n", "occurs twice"),
        (records.replace("\t11\t1\n", "\t500\t1\n"), "reaches to row 501"),
    ):
        (manifest_dir / "records.tsv").write_text(text)
        with pytest.raises(ManifestError, match=message):
            Manifest.load(manifest_dir)
    (manifest_dir / "records.tsv").write_text(records)
    assert Manifest.load(manifest_dir)
    other = {**meta, "recipe": {**meta["recipe"], "hash": "0"}}
    write_json(manifest_dir / "meta.json", other)
    with pytest.raises(RecipeError, match="prepare the data anew"):
        Manifest.load(manifest_dir).recipe()


def test_a_question_about_another_side_is_refused(manifest_dir):
    asked = {
        "id": "q",
        "question": "?",
        "answer": ["yes"],
        "question_type": "single-verify",
        "record_ids": ["9"],
        "patient_ids": ["109"],
    }
    (manifest_dir / "valid.jsonl").write_text(json.dumps(asked) + "\n")
    assert len(Manifest.load(manifest_dir).questions("valid")) == 1
    (manifest_dir / "train.jsonl").write_text(json.dumps(asked) + "\n")
    with pytest.raises(ManifestError, match="side valid"):
        Manifest.load(manifest_dir).questions("train")


def test_tokenizer_path_is_relative_when_near(manifest_dir, tmp_path):
    for path, wanted in (
        (manifest_dir / "tok.json", "tok.json"),
        (tmp_path / "tok.json", "../tok.json"),
    ):
        path.write_text("{}")
        set_tokenizer(manifest_dir, path)
        entry = Manifest.load(manifest_dir).meta["tokenizer"]
        assert entry["path"] == wanted
        assert (manifest_dir / entry["path"]).resolve() == path
    with pytest.raises(ManifestError, match="not found"):
        set_tokenizer(manifest_dir, tmp_path / "none.json")
