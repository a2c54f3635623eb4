"""Segment lists: our own and fairseq-signals', in every form, whole and broken."""

import json
import logging
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from ecg_fm_manifest import make_ecg_fm_manifest
from hypothesis import given, settings
from hypothesis import strategies as st
from mat_segments import write_mat, write_mat_copy

from ecg_fairseq.errors import EcgError, ManifestError, RecordError
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.readers.text_lines import (
    distinct_runs,
    line_bounds,
    parse_integers,
    text_keys,
)
from ecg_fairseq.records.segments.segment_list import CmscPairList, IdentificationList, SegmentList
from ecg_fairseq.signal.leads import CANONICAL_LEADS


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_ecg_fm_manifest(tmp_path_factory.mktemp("toy"), num_patients=10)


@pytest.fixture(scope="module")
def mat_folder(manifest, tmp_path_factory) -> Path:
    return write_mat_copy(SegmentList.load(manifest / "train.tsv"), tmp_path_factory.mktemp("mat"))


def test_rows_of_the_store_come_with_their_recording(manifest):
    whole = Manifest.load(manifest)
    lines = {record_id: number for number, record_id in enumerate(whole.records)}
    segments = SegmentList.load(manifest / "train.tsv")
    expected = [
        (row.first_row + k, lines[row.record_id])
        for row in whole.split_records("train")
        for k in range(row.num_segments)
    ]
    assert len(segments) == len(expected) > 20
    assert segments.sizes.dtype == np.int64
    assert set(segments.sizes) == {320}
    for index, (row, idx) in enumerate(expected):
        segment = segments.read(index)
        np.testing.assert_array_equal(segment.signal, whole.store.read(row))
        assert (segment.idx, segments.idx_of(index)) == (idx, idx)
        assert segment.leads == CANONICAL_LEADS
        assert segment.fs_hz == 500.0
    assert segments.recording_ids().tolist() == [idx for _, idx in expected]


def test_idx_counts_skipped_records_too(manifest, tmp_path):
    copy = copy_of(manifest, tmp_path)
    header, *lines = (copy / "records.tsv").read_text().splitlines(keepends=True)
    skipped = "bad\tp\t\t\t\t0\t{}\t\t\tskipped\ttoo short\t-1\t0\n"
    (copy / "records.tsv").write_text("".join([header, skipped, *lines]))
    before = SegmentList.load(manifest / "train.tsv").recording_ids()
    assert SegmentList.load(copy / "train.tsv").recording_ids().tolist() == (before + 1).tolist()


def copy_of(manifest: Path, folder: Path) -> Path:
    """Return a copy whose line 1 still names the old, now absent place."""
    copy = folder / "copy"
    for path in sorted(manifest.rglob("*")):
        if path.is_file():
            target = copy / path.relative_to(manifest)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes().replace(bytes(manifest), b"/gone"))
    return copy


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train.tsv", SegmentList),
        ("cmsc/train.tsv", CmscPairList),
        ("identification/train.tsv", IdentificationList),
    ],
)
def test_a_moved_manifest_is_found_beside_its_list(manifest, tmp_path, caplog, name, kind):
    copy = copy_of(manifest, tmp_path)
    with caplog.at_level(logging.WARNING):
        moved = kind.load(copy / name)
    assert len(caplog.messages) == 1
    assert "/gone" in caplog.text
    here = kind.load(manifest / name)
    assert len(moved) == len(here)
    first, second = moved.read(3), here.read(3)
    if kind is CmscPairList:
        first, second = first[1], second[1]
    np.testing.assert_array_equal(first.signal, second.signal)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_signals_are_float32_whatever_is_stored(manifest, tmp_path, dtype):
    from ecg_fairseq.records.manifest.store import write_shard

    copy = copy_of(manifest, tmp_path)
    store = Manifest.load(manifest).store
    values = np.stack([store.read(row) for row in range(len(store))])
    shard = write_shard(copy, 0, [values], values.shape[1:], dtype)
    meta = json.loads((copy / "meta.json").read_text())
    meta["store"] |= {"dtype": dtype, "shards": [shard.to_dict()]}
    meta["store"]["scale_mv"] = 0.001 if dtype == "int16" else 1.0
    (copy / "meta.json").write_text(json.dumps(meta))
    signal = SegmentList.load(copy / "train.tsv").read(5).signal
    assert signal.dtype == np.float32
    error = 0.00051 if dtype == "int16" else 0.0
    assert np.abs(signal - SegmentList.load(manifest / "train.tsv").read(5).signal).max() <= error


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        (SegmentList, "train", "valid"),
        (SegmentList, "test", "train"),
        (CmscPairList, "cmsc/train", "cmsc/test"),
        (IdentificationList, "identification/valid_probe", "identification/train"),
    ],
)
def test_a_list_of_another_split_under_a_splits_name_is_refused(
    manifest, tmp_path, kind, source, target
):
    copy = Path(shutil.copytree(manifest, tmp_path / "copy"))
    shutil.copy(copy / f"{source}.tsv", copy / f"{target}.tsv")
    split = Path(target).name.partition("_")[0]
    with pytest.raises(ManifestError, match=rf"line \d+.*not on split {split} in records.tsv"):
        kind.load(copy / f"{target}.tsv")
    shutil.copy(copy / f"{source}.tsv", copy / f"{Path(target).parent}/own_choice.tsv")
    assert len(kind.load(copy / f"{Path(target).parent}/own_choice.tsv"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train.tsv", SegmentList),
        ("cmsc/train.tsv", CmscPairList),
        ("identification/train.tsv", IdentificationList),
        ("identification/test_probe.tsv", IdentificationList),
    ],
)
def test_a_list_that_was_cut_short_is_refused_unless_it_has_its_own_name(
    manifest, tmp_path, name, kind
):
    copy = copy_of(manifest, tmp_path)
    path = copy / name
    lines = path.read_text().splitlines(keepends=True)
    num_head = 2 if kind is CmscPairList else 1
    whole = len(lines) - num_head
    for kept in (lines[:-1], lines[:num_head], [*lines, lines[-1]]):
        path.write_text("".join(kept))
        found = len(kept) - num_head
        with pytest.raises(
            ManifestError, match=f"holds {found} lines, and the preparation wrote {whole}: "
        ):
            kind.load(path)
    part = path.with_name(f"{path.stem}_part.tsv")
    part.write_text("".join(lines[:-1]))
    assert len(kind.load(part)) == whole - 1
    # Another folder's list is its own, whatever it is called.
    (tmp_path / "elsewhere").mkdir()
    own = tmp_path / "elsewhere" / path.name
    own.write_text("".join([f"{copy}\n", *lines[1:-1]]))
    assert len(kind.load(own)) == whole - 1


def test_a_copied_list_reads_the_same_and_leaves_mapped_files_behind(manifest):
    segments = SegmentList.load(manifest / "train.tsv")
    expected = segments.read(2).signal.copy()
    sent = pickle.dumps(segments)
    assert len(sent) < 20_000
    np.testing.assert_array_equal(pickle.loads(sent).read(2).signal, expected)


def test_files_of_fairseq_signals_equal_the_store(manifest, mat_folder):
    stored, files = (SegmentList.load(path / "train.tsv") for path in (manifest, mat_folder))
    assert len(files) == len(stored)
    np.testing.assert_array_equal(files.sizes, stored.sizes)
    for index in range(len(files)):
        ours, theirs = stored.read(index), files.read(index)
        np.testing.assert_array_equal(ours.signal, theirs.signal)
        assert (ours.leads, ours.fs_hz, ours.idx) == (theirs.leads, theirs.fs_hz, theirs.idx)
    np.testing.assert_array_equal(stored.recording_ids(), files.recording_ids())


def test_pairs_of_files_equal_pairs_of_rows(manifest, mat_folder):
    stored, files = (CmscPairList.load(path / "cmsc/train.tsv") for path in (manifest, mat_folder))
    assert len(files) == len(stored) == 12
    for index in range(len(files)):
        for ours, theirs in zip(stored.read(index), files.read(index), strict=True):
            np.testing.assert_array_equal(ours.signal, theirs.signal)
            assert ours.idx == theirs.idx == stored.idx_of(index) == files.idx_of(index)
    for pairs in (stored, files):
        same = pairs.recordings[:, None] == pairs.recordings
        ids = np.array([pairs.idx_of(index) for index in range(len(pairs))])
        np.testing.assert_array_equal(same, ids[:, None] == ids)


def test_people_of_an_identification_list(manifest):
    train = IdentificationList.load(manifest / "identification" / "train.tsv")
    assert train.num_people == 6
    # Four segments of each person, in the order of the store.
    assert train.label_ids.tolist() == np.repeat(np.arange(6), 4).tolist()
    probe = IdentificationList.load(manifest / "identification" / "valid_probe.tsv")
    gallery = IdentificationList.load(manifest / "identification" / "valid_gallery.tsv")
    assert probe.label_ids.tolist() == gallery.label_ids.tolist() == [0, 1]
    assert all(probe.idx_of(i) == gallery.idx_of(i) + 1 for i in range(2))


def test_published_lists_load_unchanged(shared_dir, tmp_path):
    golden = shared_dir / "golden" / "ecg-fm"
    example = json.loads((golden / "dataset_example.json").read_text())
    for name in ("manifest_tsv", "cmsc_manifest_tsv"):
        text = example[name].replace("ROOT", str(golden / "code_15"))
        (tmp_path / f"{name}.tsv").write_text(text)
    segments = SegmentList.load(tmp_path / "manifest_tsv.tsv")
    assert segments.sizes.tolist() == [2500] * 14
    means = [segments.read(index).signal.mean() for index in range(14)]
    np.testing.assert_allclose(means, example["source_mean_per_row"], atol=1e-6)
    largest = [np.abs(segments.read(index).signal).max() for index in range(14)]
    np.testing.assert_allclose(largest, example["source_absmax_per_row"], atol=1e-6)
    pairs = CmscPairList.load(tmp_path / "cmsc_manifest_tsv.tsv")
    rows = [segment for index in range(len(pairs)) for segment in pairs.read(index)]
    assert [segment.idx for segment in rows] == example["cmsc_patient_id"]
    means = [segment.signal.mean() for segment in rows]
    np.testing.assert_allclose(means, example["cmsc_source_mean_per_row"], atol=1e-6)


def test_what_a_file_says_besides_its_signal(tmp_path):
    signal = np.random.default_rng(0).normal(size=(12, 50))
    write_mat(tmp_path / "a.mat", signal, label=np.eye(1, 26, 3, dtype=bool), patient_id=7)
    write_mat(tmp_path / "b.mat", signal, idx=3, patient_id="p-17")
    (tmp_path / "c.mat").symlink_to(tmp_path / "a.mat")
    (tmp_path / "x.tsv").write_text(f"{tmp_path}\r\na.mat\t50\r\nb.mat\t50\r\nc.mat\t50")
    segments = SegmentList.load(tmp_path / "x.tsv")
    first, second, third = (segments.read(index) for index in range(3))
    assert (first.idx, first.patient) == (-1, 7)
    assert first.label.tolist() == np.eye(1, 26, 3).ravel().tolist()
    assert (second.idx, second.patient, second.label) == (3, None, None)
    np.testing.assert_array_equal(first.signal, third.signal)


def test_leads_that_are_not_twelve_are_named_by_a_sidecar(tmp_path):
    write_mat(tmp_path / "a.mat", np.zeros((2, 50)), idx=0)
    (tmp_path / "x.tsv").write_text(f"{tmp_path}\na.mat\t50\n")
    with pytest.raises(RecordError, match=r"2 leads; name them in a\.json"):
        SegmentList.load(tmp_path / "x.tsv").read(0)
    (tmp_path / "a.json").write_text('{"leads": ["I", "v2"]}')
    assert SegmentList.load(tmp_path / "x.tsv").read(0).leads == ("I", "V2")


def test_single_segments_of_a_pair_list_are_left_out_and_counted(mat_folder, tmp_path, caplog):
    text = (mat_folder / "cmsc" / "train.tsv").read_text()
    (tmp_path / "x.tsv").write_text(text + "ecg_0\t320\t0\t0\n")
    with caplog.at_level(logging.INFO):
        pairs = CmscPairList.load(tmp_path / "x.tsv")
    assert len(pairs) == 12
    assert "1 of 13 lines name a single segment" in caplog.text


MAT = "{root}\n"
PAIRS = "{root}\nmat\n"
ROWS = "{manifest}\nstore/shard-00000.npy:0\t320\n"
ROW_PAIRS = "{manifest}\nnpy\n"
BROKEN = [
    (SegmentList, "", "is empty"),
    (SegmentList, MAT + "a.mat\n", "line 2: 1 tab-separated fields, expected 2"),
    (SegmentList, MAT + "a.mat\t50\nb.mat\t50\t3\n", "line 3: 3 tab-separated fields"),
    (SegmentList, MAT + "a.mat\t50\n\nb.mat\t50\n", "line 3: 1 tab-separated fields"),
    (SegmentList, MAT + "a.mat\t50.0\n", "line 2: the number of samples is not a whole number"),
    (SegmentList, MAT + "a.mat\t\n", "line 2: the number of samples is not a whole"),
    (SegmentList, MAT + "a.mat\t9999999999999999999\n", "line 2: the number of samples is not a"),
    (SegmentList, MAT + "a.mat\t50\na.mat\t-5\n", "line 3: the number of samples is not above 0"),
    (SegmentList, MAT + "\t50\n", "line 2: the path is empty"),
    (SegmentList, MAT + "/etc/a.mat\t50\n", "line 2: the path is absolute"),
    (SegmentList, MAT + "a..b.mat\t5\nx/../../a.mat\t5\n", "line 3: the path leads out"),
    (SegmentList, MAT + "..\t5\n", "line 2: the path leads out"),
    (SegmentList, MAT + "a\0b.mat\t5\n", "line 2: the path leads out"),
    (SegmentList, ROWS + "store/shard-00001.npy:0\t320\n", "line 3: the store of .* no such shard"),
    (SegmentList, ROWS + "store/shard-00000.npy:40\t320\n", "line 3: the store's shard has fewer"),
    (SegmentList, ROWS + "store/shard-00000.npy:-1\t320\n", "line 3: the row is not a whole"),
    (SegmentList, ROWS + "store/shard-00000.npy:\t320\n", "line 3: the row is not a whole"),
    (SegmentList, ROWS + "a.mat\t320\n", "line 3: expected a row of the store"),
    (SegmentList, "/gone\nstore/shard-00000.npy:0\t320\n", "holds no manifest"),
    (IdentificationList, MAT + "a.mat\t50\tx\n", "line 2: the person's number is not a whole"),
    (IdentificationList, MAT + "a.mat\t50\t-1\n", "line 2: the person's number is negative"),
    (IdentificationList, MAT + "a.mat\t50\n", "line 2: 2 tab-separated fields, expected 3"),
    (CmscPairList, "{root}\n", "has 1 lines; expected the root folder in line 1 and"),
    (CmscPairList, "{root}\nwav\n", "line 2: 'wav'; expected the extension"),
    (CmscPairList, PAIRS + "a\t5\t0\t0,1,2\n", "line 3: expected two segments"),
    (CmscPairList, PAIRS + "a\t5\t0\t0,x\n", "line 3: expected the numbers of two segments"),
    (CmscPairList, PAIRS + "a\t5\t0\t,1\n", "line 3: expected the numbers of two segments"),
    (CmscPairList, PAIRS + "../a\t5\t0\t0,1\n", "line 3: the path leads out"),
    (CmscPairList, PAIRS + "a\t5\t0,1\n", "line 3: 3 tab-separated fields, expected 4"),
    (CmscPairList, ROW_PAIRS + "store/shard-00000\t5\t0\t1,2\n", "line 3: its two segments are of"),
    (CmscPairList, ROW_PAIRS + "store/shard-00000\t5\t0\t0,40\n", "line 3: the store's shard has"),
    (CmscPairList, ROW_PAIRS + "store/other\t5\t0\t0,1\n", "line 3: the store of .* no such shard"),
]


@pytest.mark.parametrize(("kind", "text", "message"), BROKEN)
def test_a_broken_list_is_refused_with_file_and_line(manifest, tmp_path, kind, text, message):
    path = tmp_path / "broken.tsv"
    path.write_text(text.format(root=tmp_path, manifest=manifest), newline="")
    with pytest.raises(ManifestError, match=message) as caught:
        kind.load(path)
    assert "broken.tsv" in str(caught.value)


def test_a_missing_list_and_a_missing_file_are_told(tmp_path):
    with pytest.raises(ManifestError, match=r"none\.tsv cannot be read"):
        SegmentList.load(tmp_path / "none.tsv")
    (tmp_path / "x.tsv").write_text(f"{tmp_path}\nnone.mat\t50\n")
    with pytest.raises(RecordError, match=r"none\.mat cannot be read"):
        SegmentList.load(tmp_path / "x.tsv").read(0)


def test_a_file_must_be_what_its_line_says(tmp_path):
    write_mat(tmp_path / "a_0.mat", np.zeros((12, 50)), idx=1)
    write_mat(tmp_path / "a_1.mat", np.zeros((12, 50)), idx=2)
    write_mat(tmp_path / "b.mat", np.zeros((12, 50)), curr_sample_rate=None)
    (tmp_path / "x.tsv").write_text(f"{tmp_path}\na_0.mat\t49\nb.mat\t50\n")
    segments = SegmentList.load(tmp_path / "x.tsv")
    with pytest.raises(RecordError, match="holds 50 samples, its manifest says 49"):
        segments.read(0)
    with pytest.raises(RecordError, match=r"expected feats .* and curr_sample_rate"):
        segments.read(1)
    (tmp_path / "c.tsv").write_text(f"{tmp_path}\nmat\na\t50\t0\t0,1\n")
    with pytest.raises(RecordError, match="are of recordings 1 and 2"):
        CmscPairList.load(tmp_path / "c.tsv").read(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("\t2\t2\n", "\t1\t2\n", 1), "overlap or go beyond"),
        (lambda text: text.replace("\t38\t2\n", "\t39\t2\n"), "overlap or go beyond"),
        (lambda text: text.replace("\t38\t2\n", "\tx\t2\n"), "first_row is not a whole number"),
        (lambda text: text.replace("\t2\t2\n", "\t2\n"), "line 3: 12 columns, expected 13"),
        (lambda text: "idx" + text, "starts with"),
        (lambda text: text.replace("\t0\t2\n", "\t-1\t0\n"), "no recording with this row"),
        (lambda text: "", "is empty"),
    ],
)
def test_records_that_do_not_fit_the_store_are_refused(manifest, tmp_path, change, message):
    copy = copy_of(manifest, tmp_path)
    (copy / "records.tsv").write_text(change((copy / "records.tsv").read_text()))
    with pytest.raises(ManifestError, match=message):
        SegmentList.load(copy / "train.tsv")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("layout", "shape"), [12]),
        (("layout", "shape"), [12, float("inf")]),
        (("layout", "strips", 3), {"lead": "I"}),
        (("layout", "strips", 3, "fs_hz"), [500]),
        (("layout", "strips", 3, "fs_hz"), 250),
        (("layout", "strips", 3, "num_samples"), 319),
        (("store", "shards", 0, "rows"), float("inf")),
        (("store", "shards", 0, "rows"), 20),
        (("store", "shards", 0, "file"), "../other.npy"),
        (("store",), []),
    ],
)
def test_a_damaged_description_is_refused(manifest, tmp_path, keys, value):
    copy = copy_of(manifest, tmp_path)
    meta = json.loads((copy / "meta.json").read_text())
    inner = meta
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (copy / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(ManifestError):
        SegmentList.load(copy / "train.tsv").read(0)


def test_a_store_of_another_layout_is_refused(tmp_path):
    from toy_manifest import make_manifest

    make_manifest(tmp_path, 5, recipe_name="ecg_byte_beat")
    with pytest.raises(ManifestError, match="needs leads by samples"):
        SegmentList.load(tmp_path / "manifest" / "train.tsv")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("0123456789-x \u00e9", max_size=20), min_size=1, max_size=20))
def test_numbers_are_parsed_as_python_does(texts):
    content = np.frombuffer("|".join(texts).encode(), dtype=np.uint8)
    if not len(content):
        content = np.zeros(1, dtype=np.uint8)
    lengths = np.array([len(text.encode()) for text in texts])
    ends = np.cumsum(lengths + 1) - 1
    values, is_number = parse_integers(content, ends - lengths, ends)
    for text, value, right in zip(texts, values, is_number, strict=True):
        digits = text.removeprefix("-")
        assert right == (0 < len(digits) <= 18 and digits.isascii() and digits.isdigit())
        assert value == (int(text) if right else 0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["", "a", "b", "ab", "a" * 40]), min_size=1, max_size=60))
def test_runs_and_keys_tell_texts_apart(texts):
    content = np.frombuffer(("\n".join(texts) + "\n").encode(), dtype=np.uint8)
    starts, ends = line_bounds(content)
    runs = list(distinct_runs(content, starts, ends))
    assert [text for begin, end, text in runs for _ in range(begin, end)] == [
        text.encode() for text in texts
    ]
    keys = text_keys(content, starts, ends)
    for place, text in enumerate(texts):
        assert [other == text for other in texts] == (keys == keys[place]).tolist()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_mutated_list_is_read_or_refused(data, manifest, mat_folder, tmp_path_factory):
    kind, source = data.draw(
        st.sampled_from(
            [
                (SegmentList, manifest / "train.tsv"),
                (SegmentList, mat_folder / "train.tsv"),
                (CmscPairList, manifest / "cmsc/train.tsv"),
                (CmscPairList, mat_folder / "cmsc/train.tsv"),
                (IdentificationList, manifest / "identification/train.tsv"),
            ]
        )
    )
    content = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(
            st.sampled_from([b"", b"\t", b"\n", b"9", b"-", b"\0", b"\xff", b"../", b","])
        )
        content[place : place + data.draw(st.integers(0, 3))] = new
    path = tmp_path_factory.getbasetemp() / "mutated.tsv"
    path.write_bytes(bytes(content))
    try:
        segments = kind.load(path)
        for index in range(min(len(segments), 3)):
            segments.read(index)
    except EcgError:
        pass


@pytest.mark.parametrize("kind", ["mat", "npy"])
def test_many_lines_load_fast_and_stay_small(manifest, tmp_path, kind):
    num_lines = 200_000
    if kind == "mat":
        lines = (f"ecg_{number // 2:07d}_{number % 2}.mat\t2500\n" for number in range(num_lines))
        root = tmp_path
    else:
        lines = (f"store/shard-00000.npy:{number % 40}\t3840\n" for number in range(num_lines))
        root = manifest
    (tmp_path / "x.tsv").write_text(f"{root}\n" + "".join(lines))
    start = time.process_time()
    segments = SegmentList.load(tmp_path / "x.tsv")
    assert time.process_time() - start < 2.0
    assert len(segments) == num_lines
    assert len(pickle.dumps(segments)) < 60 * num_lines
