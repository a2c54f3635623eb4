"""``ecg-fairseq convert`` of fairseq-signals' YAML files: every key is accounted for."""

from pathlib import Path

import pytest
import yaml

from ecg_fairseq.cli.convert_settings import convert_settings
from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import EcgError

EXAMPLE = {
    "common": {"fp16": False, "log_format": "csv", "log_interval": 10, "wandb_entity": "x"},
    "checkpoint": {"save_dir": "checkpoints"},
    "distributed_training": {"distributed_world_size": 4, "distributed_port": 12355},
    "task": {"_name": "ecg_pretraining", "data": "???", "p": [1.0], "new_field": 3},
    "criterion": {"_name": "clocs", "temp": 0.1},
    "optimizer": {"_name": "adam", "adam_betas": "(0.9, 0.98)"},
    "lr_scheduler": {"_name": "fixed", "warmup_updates": 0},
    "model": {"_name": "wav2vec2", "final_dim": 256, "args": None},
    "jobs": {"number": 1},
}


def converted(tmp_path: Path, **changes: object) -> tuple[dict, list[str]]:
    source = tmp_path / "theirs.yaml"
    source.write_text(yaml.safe_dump({**EXAMPLE, **changes}))
    report = convert_settings(source, tmp_path / "out" / "ours.yaml")
    return yaml.safe_load((tmp_path / "out" / "ours.yaml").read_text()), report.lines()


def test_keys_are_renamed_dropped_and_added(tmp_path):
    settings, lines = converted(tmp_path)
    assert settings["model"] == {"_name": "ecg_wav2vec2", "final_dim": 256}
    assert settings["criterion"] == {"_name": "cmsc", "temp": 0.1}
    assert settings["common"]["user_dir"] == "${ecg_fairseq_dir:}"
    assert settings["common"]["log_format"] == "json"
    assert settings["checkpoint"]["load_checkpoint_on_all_dp_ranks"] is True
    assert "new_field" not in settings["task"]
    assert "jobs" not in settings
    assert settings["distributed_training"] == {
        "distributed_world_size": 4,
        "ddp_backend": "legacy_ddp",
    }
    for line in (
        "renamed     model._name=wav2vec2 -> ecg_wav2vec2",
        "renamed     criterion._name=clocs -> cmsc",
        "left out    common.wandb_entity='x': no such setting here",
        "left out    task.new_field=3: no such setting here",
        "left out    jobs: fairseq has no such group",
    ):
        assert line in lines
    assert sum("distributed_port=12355" in line for line in lines) == 1
    # Every setting of the file was kept or is named; those that are set are named, too.
    before = sum(len(values) for values in EXAMPLE.values()) - 1
    left_out = sum(line.startswith("left out") for line in lines) - 1
    assert f"{before - left_out} settings kept" in lines[-1]


def test_settings_that_do_nothing_are_left_out_with_the_reason(tmp_path):
    task = {"_name": "ecg_classification", "data": "???", "filter": True, "path_dataset": False}
    criterion = {"_name": "clocs", "temp": 0.1, "eps": 1e-8, "all_gather": False}
    model = {"_name": "wav2vec2", "final_dim": 256, "all_gather": True}
    settings, lines = converted(tmp_path, task=task, criterion=criterion, model=model)
    assert settings["task"] == {"_name": "ecg_classification", "data": "???"}
    assert settings["criterion"] == {"_name": "cmsc", "temp": 0.1}
    assert settings["model"] == {"_name": "ecg_wav2vec2", "final_dim": 256}
    for start in (
        "left out    task.filter=True: signals are filtered when the manifest is made",
        "left out    task.path_dataset=False: lists name files or rows",
        "left out    criterion.eps=1e-08: cosine similarities divide by norms",
        "left out    criterion.all_gather=False: embeddings are compared within",
        "left out    model.all_gather=True: contrastive losses use the batch of one process",
    ):
        assert sum(line.startswith(start) for line in lines) == 1, start


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"_name": "m3ae"}}, r"model\._name='m3ae' is not known here; ours: arcface"),
        ({"task": None}, "has no task and model groups"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path, changes, message):
    with pytest.raises(EcgError, match=message):
        converted(tmp_path, **changes)


def test_damaged_files_and_other_names(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("a: [1,\n")
    arguments = ["convert", "--from", "fairseq-signals", str(tmp_path / "bad.yaml"), "--out"]
    assert main([*arguments, str(tmp_path / "out.yaml")]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "out.pt")]) == 1
    assert "ends in .yaml" in capsys.readouterr().err
    assert not (tmp_path / "out.yaml").exists()
