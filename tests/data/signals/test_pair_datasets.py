"""Datasets with several rows an item, and of people: CMSC, SimCLR, 3KG, identification."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ecg_fm_manifest import make_ecg_fm_manifest
from hypothesis import given, settings
from hypothesis import strategies as st
from mat_segments import write_mat, write_mat_copy
from torch.utils.data import DataLoader

from ecg_fairseq.data.signals.cmsc_dataset import CmscDataset, mixed_batches
from ecg_fairseq.data.signals.identification_dataset import IdentificationDataset
from ecg_fairseq.data.signals.signal_options import SignalOptions
from ecg_fairseq.data.signals.two_view_dataset import TwoViewDataset
from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.layers.contrastive_losses import cmsc_loss, simclr_loss, three_kg_loss
from ecg_fairseq.records.segments.segment_list import CmscPairList, IdentificationList, SegmentList
from ecg_fairseq.signal.augmentations import (
    AUGMENTATIONS,
    BaselineWander,
    Chain,
    RandomLeadMasking,
    ThreeKg,
    TwoViews,
    augmentation_of,
)

ON = SignalOptions()


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_ecg_fm_manifest(tmp_path_factory.mktemp("toy"), num_patients=10)


def batch_of(dataset) -> dict:
    return dataset.collater([dataset[i] for i in range(len(dataset))])


def loaded(dataset, num_workers: int) -> list[torch.Tensor]:
    batches = dataset.batch_by_size(dataset.ordered_indices(), None, 5)
    loader = DataLoader(
        dataset,
        batch_sampler=[batch.tolist() for batch in batches],
        collate_fn=dataset.collater,
        num_workers=num_workers,
    )
    return [batch["net_input"]["source"] for batch in loader]


def test_pairs_stand_in_the_published_order(shared_dir, tmp_path):
    golden = shared_dir / "golden" / "ecg-fm"
    example = json.loads((golden / "dataset_example.json").read_text())
    text = example["cmsc_manifest_tsv"].replace("ROOT", str(golden / "code_15"))
    (tmp_path / "train.tsv").write_text(text)
    batch = batch_of(CmscDataset(CmscPairList.load(tmp_path / "train.tsv"), ON))
    assert batch["id"].tolist() == example["cmsc_id"]
    assert batch["patient_id"].tolist() == example["cmsc_patient_id"]
    assert batch["segment"].tolist() == example["cmsc_segment"]
    source = batch["net_input"]["source"]
    assert list(source.shape) == example["cmsc_batch_keys"]["net_input"]["source"][0]
    np.testing.assert_allclose(source.mean((1, 2)), example["cmsc_source_mean_per_row"], atol=1e-6)


def test_pairs_of_a_store_and_of_files_make_the_same_batches(manifest, tmp_path):
    files = write_mat_copy(SegmentList.load(manifest / "train.tsv"), tmp_path)
    runs = [
        loaded(CmscDataset(pairs, ON, RandomLeadMasking(), is_training=True), workers)
        for pairs in (CmscPairList.load(folder / "cmsc/train.tsv") for folder in (manifest, files))
        for workers in (0, 2)
    ]
    for run in runs[1:]:
        assert all(torch.equal(one, other) for one, other in zip(runs[0], run, strict=True))


def test_the_segments_of_a_pair_are_masked_apart(manifest):
    pairs = CmscPairList.load(manifest / "cmsc" / "train.tsv")
    dataset = CmscDataset(pairs, ON, RandomLeadMasking(), is_training=True)
    kept = batch_of(dataset)["net_input"]["source"].abs().amax(2) > 0
    assert not torch.equal(kept[0::2], kept[1::2])
    assert 0.3 < kept.float().mean() < 0.7
    assert dataset.num_tokens(0) == dataset.num_tokens_vec(np.array([0]))[0] == 640
    assert dataset.size(0) == 320


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=40),
    st.integers(2, 7),
    st.randoms(use_true_random=False),
)
def test_no_batch_is_of_one_recording(recordings, size, random):
    recordings = np.array(recordings)
    order = list(range(len(recordings)))
    random.shuffle(order)
    batches = [np.array(order[at : at + size]) for at in range(0, len(order), size)]
    others = len(recordings) - np.bincount(recordings).max()
    try:
        mixed = mixed_batches(batches, recordings, "x.tsv")
    except EcgError:
        # Every batch needs one of another recording than the commonest.
        assert others < len(batches)
        return
    assert sorted(np.concatenate(mixed).tolist()) == list(range(len(recordings)))
    assert all(len(set(recordings[batch])) > 1 for batch in mixed)
    assert max(map(len, mixed)) <= size + 1


def test_batches_that_are_mixed_already_stay_as_they_are():
    batches = [np.array([0, 1]), np.array([2, 3])]
    assert mixed_batches(batches, np.array([0, 1, 0, 1]), "x.tsv") == batches


@pytest.mark.parametrize("size", [2, 3, 5, 11, 100])
def test_every_cmsc_batch_teaches_something(manifest, size):
    dataset = CmscDataset(CmscPairList.load(manifest / "cmsc" / "train.tsv"), ON)
    batches = dataset.batch_by_size(dataset.ordered_indices(), None, size, 8)
    assert sorted(np.concatenate(batches).tolist()) == list(range(12))
    for batch in batches:
        ids = dataset.collater([dataset[i] for i in batch])["patient_id"]
        assert len(set(ids.tolist())) > 1


def test_cmsc_without_two_recordings_is_explained(manifest, tmp_path):
    dataset = CmscDataset(CmscPairList.load(manifest / "cmsc" / "train.tsv"), ON)
    with pytest.raises(EcgError, match="batches of one pair teach CMSC nothing"):
        dataset.batch_by_size(dataset.ordered_indices(), None, 1)
    for number in range(4):
        write_mat(tmp_path / f"a_{number}.mat", np.zeros((12, 50)), idx=0)
    (tmp_path / "x.tsv").write_text(f"{tmp_path}\nmat\na\t50\t0\t0,1\na\t50\t0\t2,3\n")
    dataset = CmscDataset(CmscPairList.load(tmp_path / "x.tsv"), ON)
    with pytest.raises(EcgError, match="1 of 1 batches hold pairs of one recording only") as raised:
        dataset.batch_by_size(dataset.ordered_indices(), None, 2)
    # A larger batch would be no help here.
    assert "all 2 pairs here are of that recording" in str(raised.value)
    assert "from more patients" in str(raised.value)
    assert "batch_size" not in str(raised.value)


def test_two_views_of_a_segment_stand_side_by_side(manifest):
    segments = SegmentList.load(manifest / "train.tsv")
    views = TwoViews(Chain(links=(BaselineWander(max_amplitude=0.5), RandomLeadMasking())))
    dataset = TwoViewDataset(segments, ON, views, seed=4, is_training=True)
    dataset.set_epoch(2)
    batch = batch_of(dataset)
    assert batch["id"].tolist() == np.repeat(np.arange(24), 2).tolist()
    assert batch["segment"].tolist() == [0, 1] * 24
    assert batch["patient_id"].tolist() == np.repeat(segments.recording_ids(), 2).tolist()
    source = batch["net_input"]["source"]
    rng = np.random.default_rng((4, 2, 5))
    rng.random(2)
    signal = segments.read(5).signal
    expected = views.apply(signal, views.draw(rng, signal.shape))
    np.testing.assert_array_equal(source[10:12], expected)
    assert not torch.equal(source[0::2], source[1::2])
    dataset.set_epoch(3)
    assert not torch.equal(batch_of(dataset)["net_input"]["source"], source)


def test_views_are_drawn_in_validation_alike_in_every_epoch(manifest):
    dataset = TwoViewDataset(SegmentList.load(manifest / "valid.tsv"), ON, ThreeKg())
    source = batch_of(dataset)["net_input"]["source"]
    assert not torch.equal(source[0::2], source[1::2])
    dataset.set_epoch(5)
    assert torch.equal(batch_of(dataset)["net_input"]["source"], source)


@pytest.mark.parametrize("views", [ThreeKg(mask_ratio=0.0), TwoViews(BaselineWander())])
def test_views_are_normalized_over_leads_and_samples(manifest, views):
    options = SignalOptions(normalize=True)
    dataset = TwoViewDataset(SegmentList.load(manifest / "train.tsv"), options, views)
    source = batch_of(dataset)["net_input"]["source"]
    plain = TwoViewDataset(SegmentList.load(manifest / "train.tsv"), ON, views)
    expected = batch_of(plain)["net_input"]["source"]
    expected = torch.nn.functional.layer_norm(expected, expected.shape[1:])
    assert torch.allclose(source, expected, atol=1e-5)


def test_three_kg_needs_twelve_leads(manifest):
    segments = SegmentList.load(manifest / "train.tsv")
    with pytest.raises(EcgError, match="ThreeKg needs the 12 leads"):
        TwoViewDataset(segments, SignalOptions(leads_to_load="I,II"), ThreeKg())


def test_people_are_the_labels(manifest):
    segments = IdentificationList.load(manifest / "identification" / "train.tsv")
    dataset = IdentificationDataset(segments, SignalOptions(max_sample_size=100))
    assert dataset.num_patients == 6
    batch = dataset.collater([dataset[i] for i in (0, 5, 23)])
    assert batch["label"].dtype == batch["patient_id"].dtype == torch.int64
    assert batch["label"].tolist() == batch["patient_id"].tolist() == [0, 1, 5]
    assert batch["net_input"]["source"].shape == (3, 12, 100)
    assert dataset.collater([]) == {}


def test_the_losses_take_these_batches(manifest):
    pairs = CmscDataset(CmscPairList.load(manifest / "cmsc" / "train.tsv"), ON)
    batch = batch_of(pairs)
    rows = batch["net_input"]["source"].flatten(1)
    assert cmsc_loss(rows, batch["patient_id"], batch["segment"]).isfinite()
    views = TwoViewDataset(SegmentList.load(manifest / "train.tsv"), ON, ThreeKg())
    batch = batch_of(views)
    rows = batch["net_input"]["source"].flatten(1)
    assert simclr_loss(rows).isfinite()
    assert three_kg_loss(rows, batch["patient_id"])[0].isfinite()


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_augmenting_in_place_gives_the_same(name, probability):
    augmentation = augmentation_of(name, probability=probability)
    signal = np.random.default_rng(0).normal(size=(12, 200)).astype(np.float32)
    drawn = augmentation.draw(np.random.default_rng(1), signal.shape)
    expected = augmentation.apply(signal, drawn)
    augmentation.apply_in_place(signal, drawn)
    np.testing.assert_array_equal(signal, expected)
