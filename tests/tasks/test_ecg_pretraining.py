"""The task ``ecg_pretraining``: which data, which settings, and what is refused how."""

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ecg_fm_manifest import SMALL_ENCODER, SMALL_HEAD, make_ecg_fm_manifest
from fairseq_in_process import compose, setup_task, train, validate

from ecg_fairseq.data.signals.cmsc_dataset import CmscDataset
from ecg_fairseq.data.signals.segment_dataset import SegmentDataset
from ecg_fairseq.data.signals.two_view_dataset import TwoViewDataset
from ecg_fairseq.errors import CheckpointError, EcgError, ManifestError
from ecg_fairseq.files import sha256_of_file
from ecg_fairseq.signal.augmentations import (
    BaselineWander,
    PowerlineNoise,
    RandomLeadMasking,
    ThreeKg,
    TwoViews,
)

TINY = "w2v_cmsc_rlm_tiny"
SIZES = (*SMALL_ENCODER, *SMALL_HEAD)


def dataset_of(manifest: Path, name: str, *overrides: str, split: str = "train"):
    task = setup_task(manifest, *overrides, name=name)
    task.load_dataset(split, epoch=1)
    return task.datasets[split]


@pytest.mark.parametrize(
    ("name", "kind", "num_items"),
    [
        ("w2v_cmsc_rlm", CmscDataset, 24),
        ("cmsc_pretraining", CmscDataset, 24),
        ("w2v_pretraining", SegmentDataset, 48),
        ("three_kg_pretraining", TwoViewDataset, 48),
        ("simclr_rlm_pretraining", TwoViewDataset, 48),
    ],
)
def test_criterion_decides_what_an_item_is(segments, name, kind, num_items):
    dataset = dataset_of(segments, name)
    assert type(dataset) is kind
    assert len(dataset) == num_items


def test_data_may_be_the_manifest_or_the_folder_of_pairs(segments):
    paths = [setup_task(place, name=TINY).folder for place in (segments, segments / "cmsc")]
    assert paths[0] == paths[1]
    assert paths[0].path == segments / "cmsc"
    assert paths[0].recipe["name"] == "toy_ecg_fm"


def test_fairseq_signals_name_of_the_plain_lists_is_the_manifest(segments):
    folder = setup_task(segments / "segmented", name="w2v_pretraining").folder
    assert folder.path == folder.manifest == segments


def test_a_folder_of_fairseq_signals_is_read_and_has_no_provenance(segments, tmp_path):
    for split in ("train", "valid"):
        shutil.copy(segments / f"{split}.tsv", tmp_path)
    task = setup_task(tmp_path, name="w2v_pretraining")
    task.load_dataset("valid", epoch=1)
    assert len(task.datasets["valid"]) == 16
    assert task.state_dict() == {"dataset": None, "recipe": None, "split_hash": None}


def test_augmentations_only_in_training_and_with_the_settings(segments):
    overrides = (
        "task.perturbation_mode=[powerline_noise,baseline_wander,random_leads_masking]",
        "task.p=[0.1,0.2,0.3]",
        "task.max_amplitude=0.7",
        "task.dependency=false",
        "task.k=5",
        "task.mask_leads_prob=0.9",
    )
    links = dataset_of(segments, TINY, *overrides).augmentation.links
    assert [type(link) for link in links] == [PowerlineNoise, BaselineWander, RandomLeadMasking]
    assert [link.probability for link in links] == [0.1, 0.2, 0.3]
    assert (links[0].max_amplitude, links[0].dependency, links[0].fs_hz) == (0.7, "none", 500.0)
    assert (links[1].num_sines, links[2].mask_probability) == (5, 0.9)
    assert dataset_of(segments, TINY, *overrides, split="valid").augmentation is None


def test_the_published_form_of_dependent_leads_is_an_option(segments):
    mode = "task.perturbation_mode=[emg_noise]"
    for form, dependency in (("sound", "limb"), ("published", "published")):
        option = f"task.dependency_form={form}"
        links = dataset_of(segments, TINY, mode, option).augmentation.links
        assert links[0].dependency == dependency
        assert dataset_of(segments, "three_kg_pretraining", option).views.dependency == dependency
    assert dataset_of(segments, TINY, mode).augmentation.links[0].dependency == "limb"
    with pytest.raises(EcgError, match="dependency_form='x'; expected one of sound, published"):
        dataset_of(segments, TINY, mode, "task.dependency_form=x")


def test_views_take_their_settings(segments):
    views = dataset_of(
        segments, "three_kg_pretraining", "task.inferred_3kg_config={angle:30,mask_ratio:0.25}"
    ).views
    # YAML's mapping is merged with what the command gives.
    assert views == ThreeKg(max_angle_deg=30.0, max_scale=1.5, mask_ratio=0.25)
    views = dataset_of(segments, "simclr_augs_pretraining").views
    assert isinstance(views, TwoViews)
    assert len(views.augmentation.links) == 5
    with pytest.raises(EcgError, match="two augmented views"):
        dataset_of(segments, "simclr_rlm_pretraining", "task.perturbation_mode=null")
    with pytest.raises(EcgError, match="turn"):
        dataset_of(segments, "three_kg_pretraining", "+task.inferred_3kg_config.turn=1")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+task.filter=true", "task.filter=True is not supported: signals are filtered when"),
        ("+task.precompute_mask_indices=true", "precompute_mask_indices=True is not supported"),
        ("+task.leads_bucket=x", "leads_bucket='x' is not supported: choose leads with"),
        ("+task.inferred_w2v_config=x", "inferred_w2v_config='x' is not supported"),
        ("task.autocast=int8", "task.autocast='int8' is not one of none, bf16, fp16"),
        ("common.fp16=true", "common.fp16=true casts"),
        ("task.min_sample_size=9999", "none of its"),
        ("task.perturbation_mode=[3kg]", "unknown augmentation '3kg'"),
        ("task.perturbation_mode=[emg_noise,emg_noise]", ""),
        ("task.leads_to_load='I,X9'", "X9"),
        ("task.normalize=true", "mean_path"),
    ],
)
def test_settings_that_cannot_be_kept_are_refused_with_a_sentence(segments, override, message):
    if not message:
        dataset_of(segments, TINY, override)
        return
    with pytest.raises(EcgError, match=message):
        dataset_of(segments, TINY, override)


def test_no_such_folder_and_no_such_split(segments, tmp_path):
    with pytest.raises(ManifestError, match="is not a folder"):
        setup_task(tmp_path / "absent", name=TINY)
    shutil.copytree(segments, tmp_path / "m", ignore=shutil.ignore_patterns("cmsc"))
    with pytest.raises(ManifestError, match=r"no cmsc/ lists.*two segments"):
        setup_task(tmp_path / "m", name=TINY)
    with pytest.raises(ManifestError, match="has lists of: test, train, valid"):
        dataset_of(segments, TINY, split="other")


def test_segments_shorter_than_a_frame_and_leads_that_the_model_lacks(tmp_path):
    manifest = make_ecg_fm_manifest(tmp_path, 5, num_samples=12)
    with pytest.raises(EcgError, match=r"segment of 12 samples, shorter than the 16"):
        train(manifest, tmp_path / "run", *SIZES, name=TINY)
    with pytest.raises(EcgError, match=r"model\.in_d=12, but .* gives 2 leads"):
        train(manifest, tmp_path / "run", *SIZES, "task.leads_to_load='I,II'", name=TINY)


def test_one_recording_is_nothing_to_compare(segments_copy, tmp_path):
    path = segments_copy / "cmsc" / "train.tsv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(EcgError, match="recording"):
        train(segments_copy, tmp_path / "run", *SIZES, name=TINY)


@pytest.mark.parametrize("name", [TINY, "cmsc_rlm_pretraining", "simclr_rlm_pretraining"])
def test_batches_with_every_lead_masked_do_no_harm(segments, tmp_path, name):
    head = SMALL_HEAD if name == TINY else ()
    masked = ("task.mask_leads_prob=1.0", "dataset.disable_validation=false")
    checkpoint = train(segments, tmp_path, *SMALL_ENCODER, *head, *masked, name=name)
    assert_finite(checkpoint)


def test_constant_leads_do_no_harm(segments_copy, tmp_path):
    store = segments_copy / "store" / "shard-00000.npy"
    values = np.load(store)
    values[:, 3:7] = 0.0
    np.save(store, values)
    state_sha256_of_shards(segments_copy)
    assert_finite(train(segments_copy, tmp_path / "run", *SIZES, name=TINY))


def state_sha256_of_shards(manifest: Path) -> None:
    """Let a manifest's description name the shards as they are now."""
    meta = json.loads((manifest / "meta.json").read_text())
    for shard in meta["store"]["shards"]:
        shard["sha256"] = sha256_of_file(manifest / shard["file"])
    (manifest / "meta.json").write_text(json.dumps(meta))


def assert_finite(checkpoint: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    assert state["optimizer_history"][-1]["num_updates"] == 2
    assert all(bool(tensor.isfinite().all()) for tensor in state["model"].values())
    assert np.isfinite(float(state["extra_state"]["val_loss"]))


def test_checkpoint_says_where_its_signals_come_from(pretrained, segments):
    state = torch.load(pretrained, weights_only=True)["task_state"]
    meta = json.loads((segments / "meta.json").read_text())
    assert state["split_hash"] == meta["split"]["hash"]
    assert state["recipe"] == {key: meta["recipe"][key] for key in ("name", "hash")}
    assert state["dataset"] == "toy"


def test_patients_that_were_trained_on_are_not_tested_on(pretrained, tmp_path):
    other = make_ecg_fm_manifest(tmp_path, num_patients=15, seed=1, turn=2)
    with pytest.raises(CheckpointError, match=r"trained on 6 of the patients .* of toy that"):
        validate("ecg_pretraining", other, pretrained)
    assert validate("ecg_pretraining", other, pretrained, "--external-test")
    assert validate("ecg_pretraining", other, pretrained, "--allow-other-split")


def test_other_patients_of_the_same_splits_go_together(pretrained, tmp_path):
    """Fewer patients, each on the split that it had: another split hash, but nobody leaks."""
    fewer = make_ecg_fm_manifest(tmp_path, num_patients=15, seed=1)
    meta = json.loads((fewer / "meta.json").read_text())
    state = torch.load(pretrained, weights_only=True)
    assert meta["split"]["hash"] != state["task_state"]["split_hash"]
    assert validate("ecg_pretraining", fewer, pretrained)
    older = {key: state["task_state"][key] for key in ("dataset", "recipe", "split_hash")}
    torch.save({**state, "task_state": older}, tmp_path / "older.pt")
    with pytest.raises(CheckpointError, match=r"split .* of toy, .* has split"):
        validate("ecg_pretraining", fewer, tmp_path / "older.pt")
    assert validate("ecg_pretraining", fewer, tmp_path / "older.pt", "--external-test")


def test_random_choices_depend_on_update_and_batch_only(segments):
    """So that two processes draw what one process with two accumulated batches draws."""
    cfg = compose(TINY, f"task.data={segments}", *SIZES)
    task = setup_task(segments, name=TINY)
    model, criterion = task.build_model(cfg.model), task.build_criterion(cfg.criterion)
    task.load_dataset("train", epoch=1)
    dataset = task.datasets["train"]
    batches = [dataset.collater([dataset[i] for i in rows]) for rows in ((0, 1), (2, 3))]
    optimizer = SimpleNamespace(backward=lambda loss: None)

    def loss(batch: int, update: int) -> float:
        return float(task.train_step(batches[batch], model, criterion, optimizer, update)[0])

    first = [loss(0, 5), loss(1, 5)]
    torch.manual_seed(123)
    assert [loss(1, 5), loss(0, 5)] == first[::-1]
    assert loss(0, 6) != first[0]
    assert (
        task.valid_step(batches[0], model, criterion)[0]
        == (task.valid_step(batches[0], model, criterion)[0])
    )


def test_validate_reads_a_checkpoint(pretrained, segments):
    logged = validate("ecg_pretraining", segments, pretrained)
    assert float(logged["loss_3"]) > 0
    assert logged == validate("ecg_pretraining", segments, pretrained)


def test_metrics_become_csv_files(segments, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="fairseq.logging.progress_bar")
    overrides = (*SIZES, "optimization.max_update=4", "common.log_interval=1")
    train(segments, tmp_path, *overrides, name=TINY)
    inner = (tmp_path / "metrics_train_inner.csv").read_text().splitlines()
    assert inner[0].startswith("update,epoch,accuracy,")
    assert [line.split(",")[0] for line in inner[1:]] == ["1", "2", "3", "4"]
    valid = (tmp_path / "metrics_valid.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in valid[1:]] == ["2", "4"]
    # A second run continues at its checkpoint and repeats nothing.
    train(segments, tmp_path, *overrides, "optimization.max_update=6", name=TINY)
    inner = (tmp_path / "metrics_train_inner.csv").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in inner[1:]] == [1, 2, 3, 4, 5, 6]
