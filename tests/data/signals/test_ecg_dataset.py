"""Datasets of single segments: batches, order, epochs, lengths, leads, labels, golden example."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from ecg_fm_manifest import make_ecg_fm_manifest
from fairseq.data.iterators import EpochBatchIterator
from mat_segments import write_mat, write_mat_copy

from ecg_fairseq.data.signals.label_rows import load_labels
from ecg_fairseq.data.signals.segment_dataset import SegmentDataset, SignalOptions
from ecg_fairseq.errors import EcgError, ManifestError, RecordError
from ecg_fairseq.records.segments.segment_list import SegmentList
from ecg_fairseq.signal.augmentations import AUGMENTATIONS, RandomLeadMasking, chain_of
from ecg_fairseq.signal.leads import CANONICAL_LEADS

LENGTHS = (300, 120, 200, 200, 90, 250, 300, 150)
ALL = chain_of(list(AUGMENTATIONS), [0.5])


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> SegmentList:
    folder = make_ecg_fm_manifest(tmp_path_factory.mktemp("toy"), num_patients=10)
    return SegmentList.load(folder / "train.tsv")


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> SegmentList:
    """Files of different lengths; sample t of lead l of file i is 1000 i + l + t / 1000."""
    folder = tmp_path_factory.mktemp("uneven")
    lines = [f"{folder}\n"]
    for number, length in enumerate(LENGTHS):
        signal = 1000 * number + np.arange(12)[:, None] + np.arange(length) / 1000
        write_mat(folder / f"{number}.mat", signal, idx=10 + number)
        lines.append(f"{number}.mat\t{length}\n")
    (folder / "train.tsv").write_text("".join(lines))
    return SegmentList.load(folder / "train.tsv")


def batch_of(dataset: SegmentDataset, indices: list[int] | None = None) -> dict:
    return dataset.collater([dataset[i] for i in indices or range(len(dataset))])


def sources(dataset: SegmentDataset, num_workers: int, epochs: int = 2) -> list[list]:
    """Return (ids, source) of every batch of every epoch, as fairseq's trainer sees them."""
    batches = dataset.batch_by_size(dataset.ordered_indices(), None, 5, 8)
    iterator = EpochBatchIterator(
        dataset,
        dataset.collater,
        batches,
        seed=3,
        num_workers=num_workers,
        reuse_dataloader=True,
    )
    return [
        [
            (batch["id"].tolist(), batch["net_input"]["source"])
            for batch in iterator.next_epoch_itr()
        ]
        for _ in range(epochs)
    ]


@pytest.mark.parametrize("augmentation", [RandomLeadMasking(), ALL], ids=["masking", "all"])
def test_workers_make_no_difference_and_epochs_do(stored, augmentation):
    runs = [
        sources(SegmentDataset(stored, SignalOptions(), augmentation, is_training=True), workers)
        for workers in (0, 2)
    ]
    for alone, with_workers in zip(*runs, strict=True):
        for (ids, source), (other_ids, other) in zip(alone, with_workers, strict=True):
            assert ids == other_ids
            assert torch.equal(source, other)
    by_id = [
        {number: row for ids, source in epoch for number, row in zip(ids, source, strict=True)}
        for epoch in runs[0]
    ]
    assert sorted(by_id[0]) == sorted(by_id[1]) == list(range(len(stored)))
    changed = [not torch.equal(by_id[0][number], by_id[1][number]) for number in by_id[0]]
    assert np.mean(changed) > 0.8


def test_an_epoch_can_be_taken_up_again(stored):
    first = SegmentDataset(stored, SignalOptions(), RandomLeadMasking(), is_training=True)
    first.set_epoch(3)
    before = batch_of(first)["net_input"]["source"]
    first.set_epoch(4)
    assert not torch.equal(batch_of(first)["net_input"]["source"], before)
    again = SegmentDataset(stored, SignalOptions(), RandomLeadMasking(), is_training=True)
    again.set_epoch(3)
    assert torch.equal(batch_of(again)["net_input"]["source"], before)
    other = SegmentDataset(stored, SignalOptions(), RandomLeadMasking(), seed=2, is_training=True)
    other.set_epoch(3)
    assert not torch.equal(batch_of(other)["net_input"]["source"], before)


def test_nothing_is_augmented_outside_training(stored):
    dataset = SegmentDataset(stored, SignalOptions(), RandomLeadMasking())
    dataset.set_epoch(2)
    batch = batch_of(dataset)
    for index, row in enumerate(batch["net_input"]["source"]):
        np.testing.assert_array_equal(row, stored.read(index).signal)
    assert batch["is_training"] is False


def test_augmentation_in_the_batch_is_that_of_the_keyed_generator(stored):
    dataset = SegmentDataset(stored, SignalOptions(), ALL, seed=7, is_training=True)
    dataset.set_epoch(5)
    source = batch_of(dataset)["net_input"]["source"]
    for index in range(len(stored)):
        rng = np.random.default_rng((7, 5, index))
        rng.random(1)
        expected = ALL(stored.read(index).signal, rng)
        np.testing.assert_array_equal(source[index], expected)


def test_batch_has_what_criterions_need(stored):
    labels = np.arange(2.0 * 20).reshape(20, 2)
    dataset = SegmentDataset(stored, SignalOptions(), labels=labels, is_training=True)
    batch = batch_of(dataset, [4, 0, 9])
    assert batch["id"].tolist() == [4, 0, 9]
    ids = [stored.idx_of(i) for i in (4, 0, 9)]
    assert batch["patient_id"].tolist() == ids
    assert batch["label"].dtype == torch.float32
    assert batch["label"].tolist() == labels[ids].tolist()
    assert list(batch["net_input"]) == ["source"]
    assert batch["net_input"]["source"].shape == (3, 12, 320)
    assert (batch["nsentences"], batch["ntokens"]) == (3, 960)
    assert batch["is_training"] is True
    assert dataset.collater([]) == {}


@pytest.mark.parametrize("count", [1, 7, 8, 9, 24])
def test_batches_drop_nothing_and_order_is_longest_first(uneven, stored, count):
    for segments in (uneven, stored):
        dataset = SegmentDataset(segments, SignalOptions())
        order = dataset.ordered_indices()
        assert sorted(order.tolist()) == list(range(len(segments)))
        assert (np.diff(dataset.sizes[order]) <= 0).all()
        batches = dataset.batch_by_size(order, None, count, 8)
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(segments)))
        assert max(map(len, batches)) <= count
    other = SegmentDataset(stored, SignalOptions(), seed=5).ordered_indices()
    again = SegmentDataset(stored, SignalOptions(), seed=5).ordered_indices()
    assert other.tolist() == again.tolist() != order.tolist()


def test_without_padding_all_are_cut_to_the_shortest_from_a_random_start(uneven):
    dataset = SegmentDataset(uneven, SignalOptions(), is_training=True)
    starts = []
    for epoch in range(1, 40):
        dataset.set_epoch(epoch)
        batch = batch_of(dataset)
        source = batch["net_input"]["source"].double().numpy()
        assert source.shape == (8, 12, 90)
        assert "padding_mask" not in batch["net_input"]
        first = np.round((source[:, 0, 0] % 1000) * 1000).astype(int)
        expected = 1000 * np.arange(8)[:, None] + (first[:, None] + np.arange(90)) / 1000
        np.testing.assert_allclose(source[:, 0], expected, atol=2e-3)
        np.testing.assert_allclose(source[:, 5], expected + 5, atol=2e-3)
        starts.append(first)
    starts = np.array(starts)
    assert (starts >= 0).all()
    assert (starts + 90 <= LENGTHS).all()
    assert len(set(starts[:, 0])) > 15
    assert starts[:, 0].max() > 150


def test_validation_cuts_alike_in_every_epoch(uneven):
    dataset = SegmentDataset(uneven, SignalOptions())
    before = batch_of(dataset)["net_input"]["source"]
    dataset.set_epoch(9)
    assert torch.equal(batch_of(dataset)["net_input"]["source"], before)


def test_padding_fills_with_zeros_and_says_where(uneven):
    dataset = SegmentDataset(uneven, SignalOptions(enable_padding=True))
    batch = batch_of(dataset)["net_input"]
    assert batch["source"].shape == (8, 12, 300)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(batch["source"][row, :, :length], uneven.read(row).signal)
        assert not batch["source"][row, :, length:].any()
        assert batch["padding_mask"][row].tolist() == [t >= length for t in range(300)]
    assert batch["padding_mask"].dtype == torch.bool


def test_longest_and_shortest_allowed_are_counted_in_the_log(uneven, caplog):
    options = SignalOptions(enable_padding=True, max_sample_size=210, min_sample_size=121)
    with caplog.at_level(logging.INFO):
        dataset = SegmentDataset(uneven, options)
    assert "2 of 8 segments are left out, shorter than task.min_sample_size=121" in caplog.text
    assert "3 of 8 segments are cut to task.max_sample_size=210" in caplog.text
    assert dataset.sizes.tolist() == [210, 200, 200, 210, 210, 150]
    batch = batch_of(dataset)
    assert batch["id"].tolist() == [0, 2, 3, 5, 6, 7]
    assert batch["patient_id"].tolist() == [10, 12, 13, 15, 16, 17]
    assert batch["net_input"]["source"].shape == (6, 12, 210)
    assert (~batch["net_input"]["padding_mask"]).sum(1).tolist() == [210, 200, 200, 210, 210, 150]
    with pytest.raises(ManifestError, match="none of its 8 segments is left"):
        SegmentDataset(uneven, SignalOptions(min_sample_size=301))


def test_buckets_are_quantiles_and_batches_are_padded_to_one(uneven):
    options = SignalOptions(enable_padding=True, num_batch_buckets=3)
    dataset = SegmentDataset(uneven, options)
    assert dataset.buckets.tolist() == [150, 200, 300]
    lengths = {4: 150, 1: 150, 7: 150, 2: 200, 5: 300, 0: 300}
    for index, length in lengths.items():
        batch = batch_of(dataset, [index])["net_input"]
        assert batch["source"].shape[2] == length
        assert int((~batch["padding_mask"]).sum()) == LENGTHS[index]
    assert batch_of(dataset, [4, 2])["net_input"]["source"].shape[2] == 200


@pytest.mark.parametrize(
    ("asked", "names"),
    [("[I, 'V2', aVR]", ["I", "V2", "aVR"]), ("0,7,3", ["I", "V2", "aVR"]), ([7], ["V2"])],
)
def test_leads_are_chosen_by_name_or_number(stored, asked, names):
    dataset = SegmentDataset(stored, SignalOptions(leads_to_load=asked))
    assert dataset.leads == tuple(names)
    rows = [CANONICAL_LEADS.index(name) for name in names]
    source = batch_of(dataset, [3])["net_input"]["source"][0]
    np.testing.assert_array_equal(source, stored.read(3).signal[rows])
    padded = SegmentDataset(stored, SignalOptions(leads_to_load=asked, enable_padding_leads=True))
    source = batch_of(padded, [3])["net_input"]["source"][0]
    expected = np.zeros((12, 320), dtype=np.float32)
    expected[rows] = stored.read(3).signal[rows]
    np.testing.assert_array_equal(source, expected)
    padded.check_num_leads(12, "model.in_d")
    with pytest.raises(EcgError, match=r"model.in_d=12, but .* gives \d leads .*padding_leads"):
        dataset.check_num_leads(12, "model.in_d")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leads_to_load": "[I, X9]"}, r"task\.leads_to_load: unknown lead name"),
        ({"leads_to_load": "12"}, r"task\.leads_to_load: lead number 12"),
        ({"leads_to_load": "I,0"}, "each once"),
        ({"leads_to_load": "V7"}, "lead V7 is missing: stored are I, II"),
        ({"sample_rate": 250}, r"segment 1 has 500 Hz, task\.sample_rate=250"),
        ({"max_sample_size": 0}, r"max_sample_size=0"),
        ({"max_sample_size": 5, "min_sample_size": 6}, "is above"),
        ({"num_batch_buckets": 2}, "needs task.enable_padding=true"),
        ({"num_batch_buckets": -1}, "expected 0 or more"),
        ({"sample_rate": -1}, "expected Hz"),
        ({"normalize": True}, "needs task.mean_path and task.std_path"),
        ({"normalize": True, "mean_path": "none.txt", "std_path": "x"}, "cannot be read as numb"),
    ],
)
def test_settings_that_cannot_work_are_explained(stored, options, message):
    with pytest.raises(EcgError, match=message):
        SegmentDataset(stored, SignalOptions(**options))[0]


def test_leads_are_normalized_from_text_files(stored, tmp_path):
    (tmp_path / "mean.txt").write_text("\n".join(str(n) for n in range(12)) + "\n")
    (tmp_path / "std.txt").write_text("\n".join(str(n + 1) for n in range(12)))
    files = {"mean_path": str(tmp_path / "mean.txt"), "std_path": str(tmp_path / "std.txt")}
    options = SignalOptions(leads_to_load="V1,II", normalize=True, **files)
    source = batch_of(SegmentDataset(stored, options), [2])["net_input"]["source"][0]
    signal = stored.read(2).signal
    np.testing.assert_allclose(source[0], (signal[6] - 6) / 7, atol=1e-6)
    np.testing.assert_allclose(source[1], (signal[1] - 1) / 2, atol=1e-6)
    options = SignalOptions(leads_to_load="V1", normalize=True, enable_padding_leads=True, **files)
    source = batch_of(SegmentDataset(stored, options), [2])["net_input"]["source"][0]
    assert source.any(1).tolist() == [name == "V1" for name in CANONICAL_LEADS]
    (tmp_path / "std.txt").write_text("1 " * 11 + "0")
    with pytest.raises(EcgError, match="must be above 0"):
        SegmentDataset(stored, options)
    (tmp_path / "std.txt").write_text("1 " * 11)
    with pytest.raises(EcgError, match="holds 11 values"):
        SegmentDataset(stored, options)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "random_leads_masking"])
def test_augmentations_that_need_twelve_leads_are_refused_for_fewer(stored, name):
    few = SignalOptions(leads_to_load="I,II,V1")
    with pytest.raises(EcgError, match=r"needs the 12 leads .* task.dependency=false"):
        SegmentDataset(stored, few, chain_of([name], [1.0]), is_training=True)
    other_order = SignalOptions(leads_to_load=list(range(11, -1, -1)))
    with pytest.raises(EcgError, match="in the order I II III"):
        SegmentDataset(stored, other_order, chain_of([name], [1.0]), is_training=True)
    own = chain_of([name], [1.0], dependency="none")
    assert batch_of(SegmentDataset(stored, few, own, is_training=True))


def test_labels_that_do_not_fit_are_explained(stored, uneven, caplog):
    with pytest.raises(ManifestError, match=r"is of recording \d+, the label file has 5 rows"):
        SegmentDataset(stored, SignalOptions(), labels=np.zeros((5, 2)))
    with pytest.raises(ManifestError, match="recording 10, the label file has 5 rows"):
        SegmentDataset(uneven, SignalOptions(), labels=np.zeros((5, 2)))[0]
    with pytest.raises(ManifestError, match="expected numbers, one row for each"):
        SegmentDataset(stored, SignalOptions(), labels=np.zeros(20))
    labels = np.zeros((20, 2))
    labels[[stored.idx_of(0), 7], 1] = np.nan
    for segments, left in ((stored, 22), (uneven, 8)):
        caplog.clear()
        dataset = SegmentDataset(segments, SignalOptions(), labels=labels)
        unlabelled = {stored.idx_of(0), 7} & set(segments.recording_ids().tolist())
        assert len(dataset) == left
        assert not unlabelled & set(batch_of(dataset)["patient_id"].tolist())
        assert ("segments are left out, their recordings have no label" in caplog.text) == (
            left < len(segments)
        )
    with pytest.raises(ManifestError, match="none of its 24 segments is left"):
        SegmentDataset(stored, SignalOptions(), labels=np.full((20, 2), np.nan))


def test_files_may_hold_their_own_labels(tmp_path):
    write_mat(tmp_path / "a.mat", np.zeros((12, 50)), label=np.eye(1, 26, 4), patient_id=3)
    write_mat(tmp_path / "b.mat", np.zeros((12, 50)))
    (tmp_path / "a.tsv").write_text(f"{tmp_path}\na.mat\t50\nb.mat\t50\n")
    segments = SegmentList.load(tmp_path / "a.tsv")
    dataset = SegmentDataset(segments, SignalOptions(), use_file_labels=True)
    batch = batch_of(dataset, [0])
    assert batch["label"].tolist() == np.eye(1, 26, 4).tolist()
    assert batch["patient_id"].tolist() == [3]
    with pytest.raises(ManifestError, match="has no label of its own"):
        dataset[1]
    plain = batch_of(SegmentDataset(segments, SignalOptions()))
    assert "label" not in plain
    assert plain["patient_id"].tolist() == [3, -2]
    with pytest.raises(ManifestError, match="does not say which recording"):
        SegmentDataset(segments, SignalOptions(), labels=np.zeros((5, 1)))[0]


def test_missing_leads_marked_by_nan_are_explained(tmp_path):
    signal = np.zeros((12, 50))
    signal[[3, 8]] = np.nan
    write_mat(tmp_path / "a.mat", signal, idx=0)
    (tmp_path / "a.tsv").write_text(f"{tmp_path}\na.mat\t50\n")
    segments = SegmentList.load(tmp_path / "a.tsv")
    with pytest.raises(RecordError, match="lead aVR, V3 holds NaN or Inf"):
        SegmentDataset(segments, SignalOptions())[0]
    assert batch_of(SegmentDataset(segments, SignalOptions(leads_to_load="I,II")))


def test_a_label_file_is_checked(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros((4, 2)))
    assert load_labels(tmp_path / "y.npy").shape == (4, 2)
    np.save(tmp_path / "flat.npy", np.zeros(4))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("1 2 3")
    for name in ("flat", "objects", "text", "none"):
        with pytest.raises(ManifestError, match=rf"{name}\.npy"):
            load_labels(tmp_path / f"{name}.npy")


def test_an_empty_list_is_refused(tmp_path):
    (tmp_path / "a.tsv").write_text(f"{tmp_path}\n")
    with pytest.raises(ManifestError, match="lists no segments"):
        SegmentDataset(SegmentList.load(tmp_path / "a.tsv"), SignalOptions())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_files_give_the_same_batches_as_the_store(stored, tmp_path, num_workers):
    files = SegmentList.load(write_mat_copy(stored, tmp_path) / "train.tsv")
    augmentation = RandomLeadMasking()
    ours, theirs = (
        sources(
            SegmentDataset(one, SignalOptions(), augmentation, is_training=True), num_workers, 1
        )
        for one in (stored, files)
    )
    for (ids, source), (other_ids, other) in zip(ours[0], theirs[0], strict=True):
        assert ids == other_ids
        assert torch.equal(source, other)


def test_the_published_example_is_met(shared_dir: Path, tmp_path):
    golden = shared_dir / "golden" / "ecg-fm"
    example = json.loads((golden / "dataset_example.json").read_text())
    text = example["manifest_tsv"].replace("ROOT", str(golden / "code_15"))
    (tmp_path / "train.tsv").write_text(text)
    labels = load_labels(golden / "code_15" / "labels" / "y.npy")
    options = SignalOptions(sample_rate=500, enable_padding=True)
    dataset = SegmentDataset(SegmentList.load(tmp_path / "train.tsv"), options, labels=labels)
    batch = batch_of(dataset)
    assert batch["id"].tolist() == example["id"]
    assert batch["label"].tolist() == example["label"]
    source = batch["net_input"]["source"]
    assert list(source.shape) == example["batch_keys"]["net_input"]["source"][0]
    np.testing.assert_allclose(source.mean((1, 2)), example["source_mean_per_row"], atol=1e-6)
    assert bool(batch["net_input"]["padding_mask"].any()) == example["padding_any"]
