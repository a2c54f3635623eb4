"""ECG-FM's README commands as written, and its settings files, through the console (issue 5, 3).

Left as published: every override. Changed: the config's place (``--config-name`` alone finds ours),
``common.log_format=csv``, which fairseq lacks, the world size, and sizes that make a test of
seconds.
"""

import csv
from pathlib import Path

import pytest
import torch
import yaml
from ecg_fm_manifest import SMALL_ENCODER, SMALL_HEAD

from ecg_fairseq.networks.ecg_fm.checkpoint import load_network
from ecg_fairseq.networks.ecg_fm.convert import export_checkpoint
from fairseq_runs.commands import BIN, run

TRAIN = str(BIN / "fairseq-hydra-train")
PRETRAINING = (
    "task.data={data}/cmsc dataset.valid_subset=valid dataset.batch_size=64 dataset.num_workers=10 "
    "dataset.disable_validation=true distributed_training.distributed_world_size=4 "
    "optimization.update_freq=[2] checkpoint.save_dir={save} checkpoint.save_interval=10 "
    "checkpoint.keep_last_epochs=0 --config-name w2v_cmsc_rlm"
)
FINETUNING = (
    "task.data={data}/segmented model.model_path={pretrained} model.num_labels={num_labels} "
    "optimization.lr=[1e-06] optimization.max_epoch=140 dataset.batch_size=256 "
    "dataset.num_workers=5 dataset.disable_validation=true "
    "distributed_training.distributed_world_size=1 "
    "distributed_training.find_unused_parameters=true checkpoint.save_dir={save} "
    "checkpoint.save_interval=1 checkpoint.keep_last_epochs=0 +task.label_file=y.npy "
    "+criterion.pos_weight={weights} --config-name diagnosis"
)
FOR_TESTS = ("dataset.num_workers=0", "dataset.batch_size=16", "optimization.max_update=6")


def published(command: str, *changes: str, **names: object) -> list[str]:
    """Return a command line with names filled in; changes win over what stands before them."""
    words = command.format(**names).split()
    options = words.index("--config-name")
    return [TRAIN, *words[:options], *changes, *words[options:]]


@pytest.mark.slow
def test_readme_commands(segments, tmp_path):
    save = tmp_path / "pretrained"
    changes = (*SMALL_ENCODER, *SMALL_HEAD, *FOR_TESTS, "common.log_interval=1")
    changes += ("distributed_training.distributed_world_size=1",)
    run(published(PRETRAINING, *changes, data=segments, save=save), tmp_path)
    pretrained = save / "checkpoint_last.pt"
    state = torch.load(pretrained, weights_only=True)
    assert state["cfg"]["optimization"]["update_freq"] == [2]
    assert state["optimizer_history"][-1]["num_updates"] == 6
    with open(save / "metrics_train_inner.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["update"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert all(float(row["loss_3"]) > 0 for row in rows)

    weights = (segments / "labels" / "pos_weight.txt").read_text().strip()
    names = {"data": segments, "pretrained": pretrained, "save": tmp_path / "finetuned"}
    run(published(FINETUNING, *FOR_TESTS, **names, num_labels=2, weights=weights), tmp_path)
    network = load_network(tmp_path / "finetuned" / "checkpoint_last.pt")
    assert (network.config.num_labels, network.config.encoder_embed_dim) == (2, 32)


def published_settings(pretrained: Path) -> dict:
    """Settings as fairseq-signals dumps them beside a finetuned checkpoint (fact sheet 6).

    Core groups hold fairseq's own keys and some that fairseq lacks; ``_name`` is everywhere.
    """
    encoder = torch.load(pretrained, weights_only=True)["cfg"]["model"]
    own = ("padding_reaches_positions", "checkpoint_activations", "compile_layers")
    finetuning = {
        key: value
        for key, value in encoder.items()
        if key not in own and not key.startswith(("latent", "quant", "num_neg", "final_dim"))
    }
    for head in (
        "logit_temp", "same_quantizer", "target_glu", "negatives_from_everywhere",
        "cross_sample_negatives", "codebook_negatives",
    ):  # fmt: skip
        finetuning.pop(head)
    return {
        "_name": None,
        "common": {
            "_name": None, "no_progress_bar": False, "log_interval": 1, "log_format": "csv",
            "log_file": None, "wandb_project": None, "wandb_entity": None, "seed": 1, "fp16": False,
            "memory_efficient_fp16": False, "fp16_init_scale": 128, "all_gather_list_size": 2048000,
            "on_cpu_convert_precision": False, "reset_logging": False, "suppress_crashes": False,
        },
        "common_eval": {
            "_name": None, "path": None, "quiet": False, "model_overrides": "{}", "extract": None,
            "results_path": None,
        },
        "distributed_training": {
            "_name": None, "distributed_world_size": 1, "distributed_rank": 0,
            "distributed_backend": "nccl", "distributed_init_method": None,
            "distributed_port": 12355, "device_id": 0, "ddp_comm_hook": "none",
            "bucket_cap_mb": 25, "find_unused_parameters": True, "broadcast_buffers": False,
        },
        "dataset": {
            "_name": None, "num_workers": 0, "batch_size": 16, "required_batch_size_multiple": 8,
            "train_subset": "train", "valid_subset": "valid", "combine_valid_subsets": None,
            "ignore_unused_valid_subsets": False, "disable_validation": True, "num_shards": 1,
        },
        "optimization": {
            "_name": None, "max_epoch": 140, "max_update": 4, "lr": [1e-06], "clip_norm": 0.0,
            "update_freq": [1], "stop_min_lr": -1.0,
        },
        "checkpoint": {
            "_name": None, "save_dir": "checkpoints", "save_interval": 1, "keep_last_epochs": 0,
            "best_checkpoint_metric": "loss", "load_checkpoint_on_all_dp_ranks": False,
        },
        "model": {
            **finetuning, "_name": "ecg_transformer_classifier", "apply_mask": False,
            "model_path": "checkpoints/pretrained.pt", "no_pretrained_weights": False,
            "freeze_finetune_updates": 0, "final_dropout": 0.0, "num_labels": 2,
            "normalize": False, "filter": False, "data": "manifest", "args": None,
        },
        "task": {
            "_name": "ecg_classification", "data": "manifest", "leads_to_load": None,
            "leads_bucket": None, "bucket_selection": "uniform", "sample_rate": None,
            "filter": False, "normalize": False, "mean_path": None, "std_path": None,
            "enable_padding": True, "enable_padding_leads": False, "max_sample_size": None,
            "min_sample_size": None, "num_batch_buckets": 0, "precompute_mask_indices": False,
            "perturbation_mode": None, "p": [1.0], "max_amplitude": 0.1, "min_amplitude": 0.0,
            "dependency": True, "shift_ratio": 0.2, "num_segment": 1, "max_freq": 0.2,
            "min_freq": 0.01, "k": 3, "mask_leads_selection": "random", "mask_leads_prob": 0.5,
            "mask_leads_condition": [4, 5], "inferred_w2v_config": None,
            "inferred_3kg_config": None, "criterion_name": "binary_cross_entropy_with_logits",
            "path_dataset": False, "label_file": "y.npy", "load_specific_lead": False,
        },
        "criterion": {
            "_name": "binary_cross_entropy_with_logits", "weight": None, "threshold": 0.5,
            "report_auc": True, "pos_weight": [1.0, 2.0],
        },
        "lr_scheduler": {
            "_name": "fixed", "force_anneal": None, "lr_shrink": 0.1, "warmup_updates": 0,
            "lr": [1e-06],
        },
        "optimizer": {
            "_name": "adam", "adam_betas": "(0.9, 0.98)", "adam_eps": 1e-08, "weight_decay": 0.0,
            "use_old_adam": False, "lr": [1e-06],
        },
    }  # fmt: skip


@pytest.mark.slow
def test_published_settings_and_checkpoint_work_after_convert(segments, pretrained, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "physionet_finetuned.yaml").write_text(yaml.safe_dump(published_settings(pretrained)))
    export_checkpoint(pretrained, theirs / "pretrained.pt")
    convert = [str(BIN / "ecg-fairseq"), "convert", "--from", "fairseq-signals"]
    run([*convert, str(theirs / "pretrained.pt"), "--out", "pretrained.pt"], tmp_path)
    target = "settings/physionet_finetuned.yaml"
    report = run([*convert, str(theirs / "physionet_finetuned.yaml"), "--out", target], tmp_path)
    for key in ("common.wandb_entity", "common_eval.extract", "model.normalize", "model.args"):
        assert f"left out    {key}=" in report
    assert "set         common.log_format=json" in report
    places = ["--config-dir", "settings", "--config-name", "physionet_finetuned"]
    run([TRAIN, f"task.data={segments}", "model.model_path=pretrained.pt", *places], tmp_path)
    saved = tmp_path / "checkpoints"
    state = torch.load(saved / "checkpoint_last.pt", weights_only=True)
    assert state["cfg"]["criterion"]["pos_weight"] == [1.0, 2.0]
    assert state["optimizer_history"][-1]["num_updates"] == 4
    assert (saved / "metrics_train_inner.csv").read_text().count("\n") == 5
    assert load_network(saved / "checkpoint_last.pt").config.encoder_embed_dim == 32
