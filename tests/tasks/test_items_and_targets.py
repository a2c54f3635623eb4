"""Fields that say what a sample holds: items, views, further tensors, targets of any kind."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from ecg_fm_manifest import SMALL_ENCODER, SMALL_HEAD
from fairseq_in_process import compose, setup_task, train, validate
from torch.utils.data import DataLoader

from ecg_fairseq.compat import leave_out_retired
from ecg_fairseq.data.signals.cmsc_dataset import CmscDataset
from ecg_fairseq.data.signals.segment_dataset import SegmentDataset
from ecg_fairseq.data.signals.two_view_dataset import TwoViewDataset
from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.records.labels.targets import Targets, write_extra_tensor, write_targets
from ecg_fairseq.signal.augmentations import ThreeKg, TwoViews

NUM_RECORDS = 40


def loaded(manifest: Path, name: str, *overrides: str, split: str = "train"):
    task = setup_task(manifest, *overrides, name=name)
    task.load_dataset(split, epoch=1)
    return task.datasets[split]


def batch_of(dataset, places=range(4)) -> dict:
    return dataset.collater([dataset[place] for place in places])


def changed_by_numbers(manifest: Path) -> np.ndarray:
    """Write extra/numbers.safetensors, whose row i holds i, i + 0.5; return it."""
    values = np.arange(NUM_RECORDS)[:, None] + np.array([0.0, 0.5])
    write_extra_tensor(manifest, "numbers", values.astype(np.float32))
    return values


@pytest.mark.parametrize(
    ("items", "kind"),
    [("segments", SegmentDataset), ("cmsc_pairs", CmscDataset), ("two_views", TwoViewDataset)],
)
def test_the_field_decides_whatever_the_criterion(segments, items, kind):
    overrides = (f"task.items={items}", "task.perturbation_mode=[random_leads_masking]")
    assert type(loaded(segments, "w2v_pretraining", *overrides)) is kind


def test_views_are_a_field_too(segments):
    masked = "task.perturbation_mode=[random_leads_masking]"
    assert isinstance(loaded(segments, "simclr_rlm_pretraining", "task.views=3kg").views, ThreeKg)
    augmented = loaded(segments, "three_kg_pretraining", "task.views=augmented", masked)
    assert isinstance(augmented.views, TwoViews)


@pytest.mark.parametrize("name", ["diagnosis_tiny", "identification_tiny"])
def test_a_task_says_what_it_does_not_offer(segments, name):
    with pytest.raises(EcgError, match=r"task\.items=two_views is not offered by this task"):
        setup_task(segments, "task.items=two_views", name=name)


def test_training_is_what_fairseq_trains_on(segments_copy):
    """Not what has train in its name."""
    (segments_copy / "train.tsv").rename(segments_copy / "untrained.tsv")
    (segments_copy / "valid.tsv").rename(segments_copy / "fold_1.tsv")
    name, masked = "w2v_rlm_pretraining", "dataset.train_subset=fold_1"
    assert loaded(segments_copy, name, masked, split="fold_1").is_training
    assert not loaded(segments_copy, name, masked, split="untrained").is_training


def test_a_validated_checkpoint_knows_its_training_split(segments, tmp_path):
    """The link to fairseq's own group resolves in a stored checkpoint."""
    sizes = (*SMALL_ENCODER, *SMALL_HEAD)
    checkpoint = train(segments, tmp_path, *sizes, name="w2v_cmsc_rlm_tiny")
    assert torch.load(checkpoint, weights_only=True)["cfg"]["task"]["train_subset"] == "train"
    assert float(validate("ecg_pretraining", segments, checkpoint)["loss_3"]) > 0


@pytest.mark.parametrize(
    "name",
    ["w2v_pretraining", "cmsc_pretraining", "simclr_rlm_pretraining", "diagnosis_tiny"],
)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_sample_carries_further_tensors_of_its_recordings(segments_copy, name, num_workers):
    numbers = changed_by_numbers(segments_copy)
    dataset = loaded(segments_copy, name, "task.extra=[numbers]", split="valid")
    batches = DataLoader(
        dataset,
        batch_sampler=[[0, 5, 3], [7, 1]],
        collate_fn=dataset.collater,
        num_workers=num_workers,
    )
    for batch in batches:
        assert batch["extra"]["numbers"].dtype == torch.float32
        expected = numbers[batch["patient_id"].numpy()]
        np.testing.assert_array_equal(batch["extra"]["numbers"].numpy(), expected)
        assert len(expected) == batch["nsentences"]


def test_galleries_and_probes_carry_them_too(segments_copy):
    numbers = changed_by_numbers(segments_copy)
    task = setup_task(segments_copy, "task.extra=[numbers]", name="identification_tiny")
    task.load_dataset("valid", epoch=1)
    dataset = task.datasets["valid"]
    batch = batch_of(dataset, range(len(dataset)))
    records = np.concatenate([part.segments.recording_ids() for part in dataset.parts])
    np.testing.assert_array_equal(batch["extra"]["numbers"].numpy(), numbers[records])


def test_without_the_field_nothing_is_carried_and_a_pickled_one_maps_anew(segments_copy):
    changed_by_numbers(segments_copy)
    assert "extra" not in batch_of(loaded(segments_copy, "w2v_pretraining"))
    dataset = loaded(segments_copy, "w2v_pretraining", "task.extra=[numbers]")
    copy = pickle.loads(pickle.dumps(dataset.extra))
    assert copy._tensors == {}
    assert copy.rows([3])["numbers"].tolist() == [[3.0, 3.5]]


def test_extra_tensors_need_a_manifest(segments, tmp_path):
    with pytest.raises(ManifestError, match=r"numbers\.safetensors does not exist"):
        setup_task(segments, "task.extra=[numbers]", name="w2v_pretraining")
    (tmp_path / "train.tsv").write_text((segments / "train.tsv").read_text())
    with pytest.raises(ManifestError, match=r"task\.data is no manifest"):
        setup_task(tmp_path, "task.extra=[numbers]", name="w2v_pretraining")


def without_labels(manifest: Path) -> Path:
    (manifest / "labels" / "y.npy").unlink()
    return manifest / "labels" / "targets.npz"


# As if the criterion were one that declares no targets; none of ours learns real numbers yet.
ANY = ("++task.criterion_name=other",)


def test_real_targets_are_labels(segments_copy):
    values = np.linspace(-3, 3, 3 * NUM_RECORDS).reshape(NUM_RECORDS, 3).astype(np.float32)
    values[0] = np.nan
    path = without_labels(segments_copy)
    write_targets(path, Targets("real", values, ("age", "lvef", "k")), segments_copy)
    task = setup_task(segments_copy, *ANY, name="diagnosis_tiny")
    assert (task.count_outputs(), task.label_names) == (3, ("age", "lvef", "k"))
    task.load_dataset("train", epoch=1)
    dataset = task.datasets["train"]
    batch = batch_of(dataset)
    assert batch["label"].dtype == torch.float32
    assert 0 not in batch["patient_id"]
    np.testing.assert_array_equal(batch["label"].numpy(), values[batch["patient_id"].numpy()])
    with pytest.raises(EcgError, match="learns binary targets, the manifest's are real"):
        setup_task(segments_copy, name="diagnosis_tiny")


def test_binary_targets_of_either_file_are_the_same(segments_copy):
    before = batch_of(loaded(segments_copy, "diagnosis_tiny"))["label"]
    values = np.load(segments_copy / "labels" / "y.npy").astype(np.float32)
    write_targets(without_labels(segments_copy), Targets("binary", values), segments_copy)
    after = batch_of(loaded(segments_copy, "diagnosis_tiny"))["label"]
    assert after.dtype == before.dtype
    assert torch.equal(before, after)


def test_times_and_events(segments_copy):
    values = np.stack([np.arange(NUM_RECORDS) * 10.0, np.arange(NUM_RECORDS) % 2], axis=1)
    values[5] = np.nan
    path = segments_copy / "labels" / "targets.npz"
    write_targets(path, Targets("survival", values.astype(np.float32)), segments_copy)
    survival = (*ANY, "task.items=survival")
    task = setup_task(segments_copy, *survival, name="diagnosis_tiny")
    assert task.count_outputs() == 1
    task.load_dataset("train", epoch=1)
    dataset = task.datasets["train"]
    batch = batch_of(dataset, range(len(dataset)))
    records = batch["patient_id"].numpy()
    assert set(batch["target"]) == {"time_days", "event"}
    assert "label" not in batch
    assert 5 not in records
    np.testing.assert_array_equal(batch["target"]["time_days"].numpy(), records * 10.0)
    np.testing.assert_array_equal(batch["target"]["event"].numpy(), records % 2 == 1)
    assert batch["target"]["event"].dtype == torch.bool
    assert dataset.collater([]) == {}
    with pytest.raises(ManifestError, match=r"holds survival targets; task\.items=survival goes"):
        setup_task(segments_copy, *ANY, "task.label_file=targets.npz", name="diagnosis_tiny")
    with pytest.raises(ManifestError, match=r"holds binary targets; task\.items=survival goes"):
        setup_task(segments_copy, *survival, "task.label_file=y.npy", name="diagnosis_tiny")
    path.unlink()
    with pytest.raises(ManifestError, match=r"has no labels/targets\.npz of times and events"):
        setup_task(segments_copy, *survival, name="diagnosis_tiny")


def test_settings_that_did_nothing_are_passed_over_where_they_have_their_only_value(segments):
    gone = ("+task.filter=false", "+task.leads_bucket=null", "+task.bucket_selection=any")
    gone += ("+criterion.all_gather=false", "+criterion.eps=1", "+model.all_gather=false")
    plain, cfg = (
        compose("cmsc_pretraining", f"task.data={segments}", *more) for more in ((), gone)
    )
    assert plain == cfg
    for key in ("criterion.all_gather", "model.all_gather"):
        with pytest.raises(EcgError, match=f"{key}=True is not supported: .* dataset.batch_size"):
            compose("cmsc_pretraining", f"task.data={segments}", f"+{key}=true")


def test_what_is_left_out_is_told():
    cfg = compose("cmsc_pretraining", "task.data=somewhere").criterion
    retired = {"criterion.temp": (0.1, "x"), "criterion.other": (1, "y")}
    assert leave_out_retired(cfg, retired) == ["criterion.temp"]
    assert "temp" not in cfg
