"""The task ``ecg_classification``: labels, the pretrained encoder, and what does not fit."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from ecg_fm_manifest import SMALL_ENCODER, make_ecg_fm_manifest
from fairseq_in_process import compose, setup_task, train, validate

from ecg_fairseq.errors import CheckpointError, EcgError, ManifestError
from ecg_fairseq.networks.ecg_fm.checkpoint import load_network
from ecg_fairseq.networks.ecg_fm.convert import convert_checkpoint, export_checkpoint

NAME = "diagnosis_tiny"


def labelled(manifest: Path, *overrides: str, split: str = "train"):
    """Return the task with its model built and a split loaded, as training does."""
    cfg = compose(
        NAME, f"task.data={manifest}", "model.no_pretrained_weights=true", *SMALL_ENCODER,
        *overrides,
    )  # fmt: skip
    task = setup_task(
        manifest,
        *(o for o in overrides if "task." in o or "common" in o),
        name=NAME,
    )
    task.build_model(cfg.model)
    task.load_dataset(split, epoch=1)
    return task, cfg


def change_labels(manifest: Path, change) -> None:
    path = manifest / "labels" / "y.npy"
    np.save(path, change(np.load(path)))


def test_labels_of_the_manifest_are_used_and_counted(segments):
    task, cfg = labelled(segments)
    assert cfg.model.num_labels == 2
    assert task.label_names == ("fast", "tall")
    dataset = task.datasets["train"]
    labels = np.load(segments / "labels" / "y.npy")
    batch = dataset.collater([dataset[i] for i in range(6)])
    assert torch.equal(batch["label"], torch.tensor(labels[[0, 0, 1, 1, 2, 2]]).float())
    assert dataset.augmentation is None


def test_augmentations_can_be_used_in_finetuning(segments):
    wish = "task.perturbation_mode=[random_leads_masking]"
    assert labelled(segments, wish)[0].datasets["train"].augmentation is not None
    assert labelled(segments, wish, split="valid")[0].datasets["valid"].augmentation is None


@pytest.mark.parametrize("path", ["y.npy", "labels/y.npy", "absolute"])
def test_a_label_file_is_found_by_its_name(segments, path):
    path = segments / "labels" / "y.npy" if path == "absolute" else path
    task, _ = labelled(segments, f"+task.label_file={path}")
    assert task.labels.path.samefile(segments / "labels" / "y.npy")


def test_other_numbers_of_labels_are_refused(segments):
    with pytest.raises(EcgError, match=r"num_labels=5, but .* 2 columns \(fast, tall\)"):
        labelled(segments, "model.num_labels=5")
    with pytest.raises(ManifestError, match=r"absent\.npy cannot be opened"):
        labelled(segments, "+task.label_file=absent.npy")


def test_rows_must_be_the_manifests(segments_copy):
    change_labels(segments_copy, lambda values: values[:-3])
    with pytest.raises(ManifestError, match=r"has 37 rows, .* lists 40 records"):
        labelled(segments_copy)


def test_names_must_be_as_many_as_columns(segments_copy):
    change_labels(segments_copy, lambda values: values[:, :1])
    with pytest.raises(ManifestError, match=r"names 2 labels, .* has 1 columns"):
        labelled(segments_copy)


def test_labels_that_are_never_true_are_named(segments_copy, caplog):
    def no_tall(values):
        values[:, 1] = 0
        return values

    change_labels(segments_copy, no_tall)
    with caplog.at_level(logging.WARNING):
        labelled(segments_copy)
    assert "1 of 2 labels are never true on the train side: tall" in caplog.text
    change_labels(segments_copy, lambda values: values * 0)
    with pytest.raises(ManifestError, match="no label is ever true on the train side"):
        labelled(segments_copy)


def test_recordings_without_labels_are_left_out(segments_copy):
    def some_unknown(values):
        values[:4] = np.nan
        return values

    change_labels(segments_copy, some_unknown)
    assert len(labelled(segments_copy)[0].datasets["train"]) == 40


def test_weights_of_positives_as_published(segments, pretrained, tmp_path):
    weights = (segments / "labels" / "pos_weight.txt").read_text().strip()
    start = (f"model.model_path={pretrained}", f"+criterion.pos_weight={weights}")
    state = torch.load(train(segments, tmp_path, *start, name=NAME), weights_only=True)
    assert state["cfg"]["criterion"]["pos_weight"] == pytest.approx(
        [float(weight) for weight in weights.strip("[]").split(",")]
    )


@pytest.mark.parametrize("field", ["path_dataset", "load_specific_lead"])
def test_settings_with_one_value(segments, field):
    with pytest.raises(EcgError, match=f"task.{field}=True is not supported"):
        labelled(segments, f"+task.{field}=true")


def test_encoder_is_the_pretrained_one(segments, pretrained, tmp_path):
    """The YAML's architecture gives way; the weights are taken over; the checkpoint says so."""
    frozen = ("optimization.lr=[0.0]", f"model.model_path={pretrained}")
    checkpoint = train(segments, tmp_path, *frozen, name=NAME)
    state = torch.load(checkpoint, weights_only=True)
    assert state["cfg"]["model"]["encoder_layers"] == 1
    assert state["cfg"]["model"]["conv_feature_layers"] == "[(16, 2, 2)] * 4"
    assert state["task_state"]["labels"] == ["fast", "tall"]
    before = torch.load(pretrained, weights_only=True)["model"]
    for key, tensor in state["model"].items():
        if key.startswith("encoder."):
            assert torch.equal(tensor, before[key.removeprefix("encoder.")]), key


def test_finetuned_checkpoint_is_read_without_the_pretrained_file(
    finetuned, segments, tmp_path, monkeypatch
):
    state = torch.load(finetuned, weights_only=True)
    state["cfg"]["model"]["model_path"] = str(tmp_path / "gone.pt")
    torch.save(state, tmp_path / "moved.pt")
    assert load_network(tmp_path / "moved.pt").config.encoder_embed_dim == 32
    logged = validate("ecg_classification", segments, tmp_path / "moved.pt")
    assert 0.0 <= float(logged["auroc_macro"]) <= 1.0
    assert logged == validate("ecg_classification", segments, finetuned)


def test_finetuning_can_go_on_from_a_finetuned_checkpoint(finetuned, segments, tmp_path):
    start = (f"model.model_path={finetuned}",)
    assert load_network(train(segments, tmp_path, *start, name=NAME)).config.encoder_layers == 1


def test_other_labels_are_refused(finetuned, segments_copy):
    path = segments_copy / "labels" / "label_def.csv"
    path.write_text(path.read_text().replace("tall", "broad"))
    with pytest.raises(CheckpointError, match="only there: 'tall'; only here: 'broad'"):
        validate("ecg_classification", segments_copy, finetuned)


def test_checkpoints_of_other_systems_and_damaged_ones(checkpoint, segments, tmp_path):
    def start(path: Path) -> None:
        train(segments, tmp_path / "run", f"model.model_path={path}", name=NAME)

    with pytest.raises(CheckpointError, match="holds the model 'ecg_llm', not an ECG encoder"):
        start(checkpoint)
    (tmp_path / "cut.pt").write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="truncated or not a torch file"):
        start(tmp_path / "cut.pt")
    with pytest.raises(CheckpointError, match="checkpoint not found"):
        start(tmp_path / "absent.pt")
    with pytest.raises(EcgError, match="model_path is not set"):
        train(segments, tmp_path / "run", name=NAME)


def test_encoder_of_another_recipe_is_refused(pretrained, tmp_path):
    other = make_ecg_fm_manifest(tmp_path, 10, num_samples=384)
    with pytest.raises(CheckpointError, match=r"trained on recipe toy_ecg_fm .* --recipe"):
        train(other, tmp_path / "run", f"model.model_path={pretrained}", name=NAME)


def test_encoder_of_another_split_leaks_unless_the_dataset_is_another(pretrained, tmp_path):
    """Patients that are tested on must not have been pretrained on."""
    start = f"model.model_path={pretrained}"
    other = make_ecg_fm_manifest(tmp_path, 10, seed=3, turn=2)
    with pytest.raises(CheckpointError, match=r"trained on 4 of the patients .* of toy that"):
        train(other, tmp_path / "run", start, name=NAME)
    train(other, tmp_path / "run", start, "task.allow_other_split=true", name=NAME)
    foreign = make_ecg_fm_manifest(tmp_path / "foreign", 10, seed=3, dataset="elsewhere", turn=2)
    train(foreign, tmp_path / "foreign" / "run", start, name=NAME)


def test_signals_must_be_normalized_alike(pretrained, segments, tmp_path):
    state = torch.load(pretrained, weights_only=True)
    state["cfg"]["task"]["normalize"] = True
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"task\.normalize=True, the settings have False"):
        train(segments, tmp_path, f"model.model_path={tmp_path / 'other.pt'}", name=NAME)


def test_converted_checkpoints_say_nothing_about_their_data(
    pretrained, finetuned, segments, tmp_path, caplog
):
    """Those of fairseq-signals cannot; they are used with a warning."""
    for name, path in (("pretrained", pretrained), ("finetuned", finetuned)):
        export_checkpoint(path, tmp_path / f"{name}_theirs.pt")
        convert_checkpoint(tmp_path / f"{name}_theirs.pt", tmp_path / f"{name}.pt")
    with caplog.at_level(logging.WARNING):
        start = f"model.model_path={tmp_path / 'pretrained.pt'}"
        train(segments, tmp_path / "run", start, name=NAME)
    assert "does not say how its signals were prepared" in caplog.text
    logged = validate("ecg_classification", segments, tmp_path / "finetuned.pt")
    assert logged == validate("ecg_classification", segments, finetuned)


def test_labels_inside_mat_files(tmp_path):
    """fairseq-signals' older files carry their own labels."""
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    names = [f"e{k}.mat" for k in range(8)]
    for k, name in enumerate(names):
        content = {
            "feats": rng.normal(size=(12, 320)),
            "curr_sample_rate": 500,
            "patient_id": k,
            "label": np.array([[k % 2 == 0, k % 3 == 0, k % 5 == 0]]),
        }
        savemat(tmp_path / name, content)
    lines = [f"{tmp_path}\n", *(f"{name}\t320\n" for name in names)]
    for split in ("train", "valid"):
        (tmp_path / f"{split}.tsv").write_text("".join(lines))
    task, _ = labelled(tmp_path, "model.num_labels=3")
    assert len(task.datasets["train"]) == 8
    with pytest.raises(EcgError, match=r"num_labels=4, but files of .* hold 3 labels"):
        labelled(tmp_path, "model.num_labels=4")
    with pytest.raises(EcgError, match="num_labels=0"):
        labelled(tmp_path)


def test_area_that_training_logs_is_of_the_whole_validation_side(segments, pretrained, tmp_path):
    """fairseq reduces after every batch; the area is over all four of them."""
    from sklearn.metrics import roc_auc_score

    start = (f"model.model_path={pretrained}", "optimization.max_update=8")
    start += ("dataset.validate_interval_updates=4", "checkpoint.save_interval_updates=4")
    checkpoint = train(segments, tmp_path, *start, name=NAME)
    task = setup_task(segments, name=NAME)
    task.load_dataset("valid", epoch=1)
    dataset = task.datasets["valid"]
    batch = dataset.collater([dataset[index] for index in range(len(dataset))])
    with torch.no_grad():
        logits = load_network(checkpoint).network(**batch["net_input"]).logits
    areas = [roc_auc_score(batch["label"][:, k], logits[:, k]) for k in range(2)]
    found = torch.load(checkpoint, weights_only=True)["extra_state"]["val_loss"]
    assert found == pytest.approx(np.mean(areas), abs=1e-6)


def test_areas_in_training_are_those_of_the_whole_split(segments, pretrained, tmp_path):
    """fairseq reads figures after every batch; the checkpoint is chosen by those of the pass."""
    settings = ("dataset.valid_subset=test", "dataset.batch_size_valid=3")
    start = (f"model.model_path={pretrained}", "criterion.report_labels=true")
    path = train(segments, tmp_path, *settings, *start, name=NAME)
    chosen_by = torch.load(path, weights_only=True)["extra_state"]["val_loss"]
    alone = validate("ecg_classification", segments, path, "--batch-size", "100")
    assert chosen_by == pytest.approx(float(alone["auroc_macro"]), abs=1e-6)
    each = [float(alone[f"auroc_of_{name}"]) for name in ("fast", "tall")]
    assert chosen_by == pytest.approx(sum(each) / 2, abs=1e-6)
