"""What a training may begin with or be resumed from, through fairseq's own programs."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from ecg_fm_manifest import SMALL_ENCODER, SMALL_HEAD, make_ecg_fm_manifest
from fairseq_in_process import SMALL, compose, setup_task, train, validate
from toy_manifest import make_manifest, make_tokenizer, write_records_text

from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.files import write_json
from ecg_fairseq.records.manifest.splits import split_hash
from ecg_fairseq.records.record_row import COLUMNS

PRETRAINING, FINETUNING, QA = "w2v_cmsc_rlm_tiny", "diagnosis_tiny", "ecg_byte_qa_tiny"
SIZES = (*SMALL_ENCODER, *SMALL_HEAD)
CHALLENGE = "physionet_2021"


def under_the_name(manifest: Path, dataset: str) -> Path:
    """Number a toy manifest's patients and records as datasets of PTB-XL do."""
    header, *lines = (manifest / "records.tsv").read_text().splitlines()
    rows, sides = [], {}
    for number, line in enumerate(lines, 1):
        cells = dict(zip(COLUMNS, line.split("\t"), strict=True))
        cells["patient_id"] = cells["patient_id"].removeprefix("p")
        cells["record_id"] = str(number)
        if dataset == CHALLENGE:
            cells["record_id"] = cells["patient_id"] = f"HR{number:05d}"
            cells["source"] = f"ptb-xl/g1/HR{number:05d}"
        sides[cells["patient_id"]] = cells["split"]
        rows.append("\t".join(cells.values()))
    write_records_text(manifest, "\n".join([header, *rows]) + "\n")
    meta = json.loads((manifest / "meta.json").read_text())
    meta |= {"dataset": dataset, "split": {**meta["split"], "hash": split_hash(sides)}}
    write_json(manifest / "meta.json", meta)
    return manifest


def build(manifest: Path, name: str, *overrides: str) -> None:
    """Do what a training does before it touches the data."""
    overrides = (f"task.data={manifest}", *overrides)
    setup_task(manifest, *overrides, name=name).build_model(compose(name, *overrides).model)


@pytest.fixture(scope="module")
def ptb_xl(tmp_path_factory) -> Path:
    """A manifest of dataset ptb_xl."""
    folder = tmp_path_factory.mktemp("ptb_xl")
    return under_the_name(make_ecg_fm_manifest(folder, 10), "ptb_xl")


@pytest.fixture(scope="module")
def encoder(ptb_xl, tmp_path_factory) -> Path:
    """Pretrained on it."""
    return train(ptb_xl, tmp_path_factory.mktemp("encoder"), *SIZES, name=PRETRAINING)


@pytest.mark.parametrize("dataset", ["ecg_qa_ptbxl", "heartllm_ptbxl", "ptb_xl_plus", CHALLENGE])
def test_an_encoder_of_patients_to_be_tested_on_is_refused(dataset, encoder, tmp_path):
    start = f"model.model_path={encoder}"
    leaks = under_the_name(make_ecg_fm_manifest(tmp_path / "leaks", 10, turn=2), dataset)
    with pytest.raises(CheckpointError, match=rf"of ptb_xl .*dataset {dataset}.* keeps for its"):
        build(leaks, FINETUNING, start)
    for flag in ("external_test", "allow_other_split"):
        build(leaks, FINETUNING, start, f"task.{flag}=true")
    build(under_the_name(make_ecg_fm_manifest(tmp_path / "sound", 10), dataset), FINETUNING, start)


def test_a_finetuned_checkpoint_keeps_the_patients_of_its_encoder(encoder, tmp_path):
    elsewhere = make_ecg_fm_manifest(tmp_path, 10, dataset="elsewhere")
    start = f"model.model_path={encoder}"
    finetuned = train(elsewhere, tmp_path / "run", start, name=FINETUNING)
    theirs = torch.load(encoder, weights_only=True)["task_state"]
    ours = torch.load(finetuned, weights_only=True)["task_state"]
    assert ours["patients"].items() > theirs["patients"].items()
    assert set(ours["patients"]) - set(theirs["patients"]) == {"elsewhere:patient"}
    assert [stage["dataset"] for stage in ours["earlier"]] == ["ptb_xl"]
    assert validate("ecg_classification", elsewhere, finetuned)
    leaks = under_the_name(make_ecg_fm_manifest(tmp_path / "leaks", 10, turn=2), "ptb_xl_plus")
    with pytest.raises(CheckpointError, match=r"of ptb_xl .*dataset ptb_xl_plus"):
        validate("ecg_classification", leaks, finetuned)
    assert validate("ecg_classification", leaks, finetuned, "--external-test")
    # A run that goes on keeps what it kept.
    train(elsewhere, tmp_path / "run", start, "optimization.max_update=4", name=FINETUNING)
    assert torch.load(finetuned, weights_only=True)["task_state"] == ours


def test_an_encoder_of_other_leads_is_refused(ptb_xl, tmp_path):
    limb = ("task.leads_to_load='I,II,III'", "model.in_d=3")
    path = train(ptb_xl, tmp_path, *SIZES, *limb, name=PRETRAINING)
    start = f"model.model_path={path}"
    build(ptb_xl, FINETUNING, start, *limb)
    for flag in ("external_test=false", "external_test=true"):
        chest = ("task.leads_to_load='V1,V2,V3'", "model.in_d=3", f"task.{flag}")
        with pytest.raises(CheckpointError, match="leads I, II, III, it would read V1, V2, V3"):
            build(ptb_xl, FINETUNING, start, *chest)


def test_a_training_goes_on_with_the_same_data_only(encoder, ptb_xl, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(encoder, run / "checkpoint_last.pt")
    others = {
        "split .* there": under_the_name(make_ecg_fm_manifest(tmp_path / "a", 15), "ptb_xl"),
        "recipe toy_ecg_fm .* there": under_the_name(
            make_ecg_fm_manifest(tmp_path / "b", 10, num_samples=384), "ptb_xl"
        ),
    }
    for message, other in others.items():
        for flag in ("external_test=false", "external_test=true"):
            with pytest.raises(CheckpointError, match=f"trained on other data than .*{message}"):
                train(other, run, *SIZES, f"task.{flag}", name=PRETRAINING)
    # The same folder elsewhere is the same data.
    shutil.copytree(ptb_xl, tmp_path / "moved")
    train(tmp_path / "moved", run, *SIZES, "optimization.max_update=4", name=PRETRAINING)
    state = torch.load(run / "checkpoint_last.pt", weights_only=True)
    assert state["optimizer_history"][-1]["num_updates"] == 4
    assert state["task_state"] == torch.load(encoder, weights_only=True)["task_state"]


def test_other_labels_than_those_of_the_run_are_refused(segments_copy, finetuned, tmp_path):
    shutil.copy(finetuned, tmp_path / "checkpoint_last.pt")
    names = segments_copy / "labels" / "label_def.csv"
    names.write_text(names.read_text().replace("tall", "broad"))
    with pytest.raises(CheckpointError, match="only there: 'tall'; only here: 'broad'"):
        build(segments_copy, FINETUNING, f"checkpoint.save_dir={tmp_path}")


def test_answering_goes_on_with_the_same_questions_and_tokenizer_only(
    toy_copy, checkpoint, tmp_path
):
    shutil.copy(checkpoint, tmp_path / "checkpoint_last.pt")
    here = (*SMALL, f"checkpoint.save_dir={tmp_path}")
    build(toy_copy, QA, *here)
    other = make_manifest(tmp_path / "other", 15, seed=1)
    with pytest.raises(CheckpointError, match="trained on other data"):
        build(other.path, QA, *here)
    meta = json.loads((toy_copy / "meta.json").read_text())
    write_json(toy_copy / "meta.json", {**meta, "data_sha256": "f" * 64})
    with pytest.raises(CheckpointError, match=r"signals and questions .* there, ffffffffffff here"):
        build(toy_copy, QA, *here)
    write_json(toy_copy / "meta.json", meta)
    make_tokenizer(toy_copy, toy_copy.parent / "tokenizer.json", num_merges=30)
    for flag in ("external_test=false", "external_test=true"):
        with pytest.raises(CheckpointError, match=r"ECG tokenizer .* there"):
            build(toy_copy, QA, *here, f"task.{flag}")


@pytest.mark.parametrize("field", ["finetune_from_model", "restore_file", "continue_once"])
def test_weights_that_fairseq_takes_are_an_earlier_stage(field, encoder, tmp_path):
    leaks = under_the_name(make_ecg_fm_manifest(tmp_path / "a", 10, turn=2), "ptb_xl_plus")
    start = (*SIZES, f"checkpoint.save_dir={tmp_path / 'run'}", f"++checkpoint.{field}={encoder}")
    with pytest.raises(CheckpointError, match=r"of ptb_xl .*dataset ptb_xl_plus"):
        build(leaks, PRETRAINING, *start)
    elsewhere = make_ecg_fm_manifest(tmp_path / "b", 10, dataset="elsewhere")
    task = setup_task(elsewhere, *start, name=PRETRAINING)
    task.build_model(compose(PRETRAINING, f"task.data={elsewhere}", *start).model)
    assert set(task.state_dict()["patients"]) == {
        "elsewhere:patient", "ptb_xl:patient", "ptb_xl:record",
    }  # fmt: skip
