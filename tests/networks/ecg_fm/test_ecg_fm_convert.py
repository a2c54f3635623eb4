"""fairseq-signals' checkpoints: both key styles, honest reports, damage and hostility."""

import argparse
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.networks.ecg_fm.checkpoint import NETWORKS, build_finetuned, load_network
from ecg_fairseq.networks.ecg_fm.config import FinetuningConfig
from ecg_fairseq.networks.ecg_fm.convert import (
    KEY_STYLES,
    MODEL_NAMES,
    convert_checkpoint,
    export_checkpoint,
)
from ecg_fairseq.networks.ecg_fm.fairseq_signals_file import plain, read_foreign_checkpoint
from ecg_fairseq.networks.ecg_fm.finetuned import EcgTransformerClassifier

Write = Callable[..., Path]
Build = Callable[..., torch.nn.Module]


@pytest.mark.parametrize("key_style", KEY_STYLES)
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_round_trip(
    name: str, key_style: str, foreign_file: Write, build: Build, tmp_path: Path
) -> None:
    source, ours, back = foreign_file(name, key_style), tmp_path / "ours.pt", tmp_path / "back.pt"
    report = convert_checkpoint(source, ours)
    assert report.is_complete
    assert len(report.renamed) == (2 if key_style == "weight_g" else 0)
    trained = load_network(ours)
    assert trained.name == MODEL_NAMES[name]
    wanted = build(MODEL_NAMES[name]).state_dict()
    found = trained.network.state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert trained.config.padding_reaches_positions
    assert trained.task["sample_rate"] == 500
    export_checkpoint(ours, back, key_style)
    first, second = read_checkpoint_file(source), read_checkpoint_file(back)
    assert set(first["model"]) == set(second["model"])
    assert all(torch.equal(first["model"][key], second["model"][key]) for key in first["model"])
    assert first["cfg"]["task"] == second["cfg"]["task"]
    changed = {
        key
        for key in first["cfg"]["model"] | second["cfg"]["model"]
        if first["cfg"]["model"].get(key) != second["cfg"]["model"].get(key)
    }
    # A finetuned file no longer points to the pretrained one that it was made from.
    assert changed <= {"no_pretrained_weights"}


def test_every_key_is_reported(foreign_file: Write, tmp_path: Path) -> None:
    source = foreign_file(tensors={"extra.weight": torch.zeros(2), "mask_emb": torch.zeros(5)})
    state = torch.load(source)
    del state["model"]["final_proj.bias"]
    torch.save(state, source)
    out = tmp_path / "out.pt"
    with pytest.raises(CheckpointError, match="1 missing, 1 unexpected, 1 of another shape"):
        convert_checkpoint(source, out)
    assert not out.exists()
    report = convert_checkpoint(source, out, allow_partial=True)
    assert (report.missing, report.unexpected) == (["final_proj.bias"], ["extra.weight"])
    assert report.wrong_shape == {"mask_emb": "(5,), wanted (32,)"}
    assert any("2 tensors have random values" in note for note in report.notes)
    lines = report.lines()
    assert len(lines) == len(load_network(out).network.state_dict()) + 1 + len(report.notes) + 1


def test_same_numbers_out_of_both_styles(
    foreign_file: Write, tmp_path: Path, signals: torch.Tensor
) -> None:
    contexts = []
    for style in KEY_STYLES:
        out = tmp_path / f"{style}.pt"
        convert_checkpoint(foreign_file(key_style=style), out)
        with torch.no_grad():
            contexts.append(load_network(out).encoder.encode(signals).frames)
    assert torch.equal(*contexts)


def test_tensors_overrule_settings_of_the_finetuning_run(
    foreign_file: Write, tmp_path: Path
) -> None:
    settings = {"encoder_layers": 12, "encoder_ffn_embed_dim": 3072, "num_labels": 26}
    source = foreign_file("ecg_transformer_classifier", settings=settings)
    report = convert_checkpoint(source, tmp_path / "out.pt")
    assert sum("the settings say" in note for note in report.notes) == 3
    assert load_network(tmp_path / "out.pt").config.encoder_layers == 2


def test_strides_that_nobody_knows_are_refused(foreign_file: Write, tmp_path: Path) -> None:
    source = foreign_file(settings={"conv_feature_layers": "[(16, 3, 2)] * 4"})
    with pytest.raises(CheckpointError, match="strides are not stored"):
        convert_checkpoint(source, tmp_path / "out.pt")


def test_half_precision_and_unknown_settings_are_noted(foreign_file: Write, tmp_path: Path) -> None:
    source = foreign_file(
        tensors={"final_proj.bias": torch.zeros(8, dtype=torch.float16)}, settings={"new_one": 3}
    )
    report = convert_checkpoint(source, tmp_path / "out.pt")
    assert "final_proj.bias was float16, now float32" in report.notes
    assert "settings without a counterpart here: new_one" in report.notes


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(
    value: float, foreign_file: Write, tmp_path: Path
) -> None:
    source = foreign_file(tensors={"final_proj.bias": torch.full((8,), value)})
    with pytest.raises(CheckpointError, match="not finite"):
        convert_checkpoint(source, tmp_path / "out.pt")


def test_another_architecture_is_named(foreign_file: Write, tmp_path: Path) -> None:
    other = {"encoder.pos_conv.0.bias": torch.zeros(3), "feature_extractor.x": torch.zeros(1)}
    source = foreign_file(model=other, settings={"_name": "wav2vec2"})
    with pytest.raises(CheckpointError, match=r"encoder\.pos_conv"):
        convert_checkpoint(source, tmp_path / "out.pt")
    source = foreign_file(settings={"_name": "m3ae"})
    with pytest.raises(CheckpointError, match="'m3ae'"):
        convert_checkpoint(source, tmp_path / "out.pt")
    source = foreign_file("wav2vec2_cmsc", settings={"_name": "arcface"})
    with pytest.raises(CheckpointError, match="its tensors are of wav2vec2_cmsc"):
        convert_checkpoint(source, tmp_path / "out.pt")


def test_without_settings_defaults_are_said(build: Build, foreign_file: Write) -> None:
    source = foreign_file(cfg=None, model=build("ecg_transformer").state_dict())
    with pytest.raises(CheckpointError, match="conv_feature_layers"):
        convert_checkpoint(source, source.with_name("out.pt"))


def test_damage_is_explained(foreign_file: Write, tmp_path: Path) -> None:
    source = foreign_file()
    data = source.read_bytes()
    broken = tmp_path / "broken.pt"
    for damaged in (data[: len(data) // 2], b"", b"not a checkpoint", data[:100] + b"x" * 5000):
        broken.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            convert_checkpoint(broken, tmp_path / "out.pt")
    torch.save([1, 2], broken)
    with pytest.raises(CheckpointError, match="no 'model'"):
        convert_checkpoint(broken, tmp_path / "out.pt")
    torch.save({"model": {"a": "text"}}, broken)
    with pytest.raises(CheckpointError, match="names to tensors"):
        convert_checkpoint(broken, tmp_path / "out.pt")
    with pytest.raises(CheckpointError, match="not found"):
        convert_checkpoint(tmp_path / "absent.pt", tmp_path / "out.pt")


@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": "much"}, {"layer_norm_first": 3}, {"latent_temp": 2.0},
        {"conv_feature_layers": 4}, {"encoder_attention_heads": 0}, {"mask_length": 0},
    ],
)  # fmt: skip
def test_settings_of_another_kind_are_named(
    settings: dict[str, Any], foreign_file: Write, tmp_path: Path
) -> None:
    with pytest.raises(EcgError, match=next(iter(settings))):
        convert_checkpoint(foreign_file(settings=settings), tmp_path / "out.pt")


@pytest.mark.parametrize("seed", range(30))
def test_damaged_bytes_never_end_in_a_traceback(
    seed: int, foreign_file: Write, tmp_path: Path
) -> None:
    """Flips bytes of the file, or of its instructions under a checksum that is right again."""
    source, out = foreign_file(), tmp_path / "out.pt"
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(source) as archive:
        members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    if seed % 2:
        data = bytearray(source.read_bytes())
        data[rng.integers(len(data))] ^= 0x55
        source.write_bytes(data)
    else:
        instructions = members["foreign/data.pkl"]
        for place in rng.integers(len(instructions), size=4):
            instructions[place] = int(rng.integers(256))
        with zipfile.ZipFile(source, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, bytes(content))
    try:
        convert_checkpoint(source, out)
    except EcgError:
        assert not out.exists()


def test_one_flipped_bit_of_a_weight_is_seen(foreign_file: Write, tmp_path: Path) -> None:
    source = foreign_file()
    data = bytearray(source.read_bytes())
    weight = torch.load(source)["model"]["encoder.layers.0.fc1.weight"].numpy().tobytes()
    data[data.find(weight) + 100] ^= 1
    source.write_bytes(data)
    with pytest.raises(CheckpointError, match="checksum"):
        convert_checkpoint(source, tmp_path / "out.pt")


class Hostile:
    """Runs a command when an ordinary reader opens it."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("style", ["zip", "legacy"])
@pytest.mark.parametrize("function", ["system", "eval", "getattr"])
def test_hostile_file_runs_nothing(
    function: str, style: str, foreign_file: Write, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    call = {
        "system": (os.system, f"touch {marker}"),
        "eval": (eval, f"open({str(marker)!r}, 'w')"),
        "getattr": (getattr, "text", "upper"),
    }[function]
    source = foreign_file(extra_state=Hostile(*call))
    if style == "legacy":
        state = {"model": {}, "extra_state": Hostile(*call)}
        torch.save(state, source, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"refused|not loaded"):
        convert_checkpoint(source, tmp_path / "out.pt")
    assert not marker.exists()
    assert not (tmp_path / "out.pt").exists()


def test_torchscript_archives_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), path)
    with pytest.raises(CheckpointError):
        read_foreign_checkpoint(path)


def test_objects_of_a_framework_become_inert(foreign_file: Write, tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    plain_file = torch.load(foreign_file())
    cfg = OmegaConf.create(plain_file["cfg"])
    meters = {"metrics": [argparse.Namespace(a=1), np.float64(3.0), np.arange(3)]}
    source = foreign_file(cfg=cfg, extra_state=meters)
    with pytest.raises(CheckpointError):
        read_checkpoint_file(source)
    foreign = read_foreign_checkpoint(source)
    assert plain(foreign.content["cfg"])["model"]["encoder_layers"] == 2
    assert plain(foreign.content["extra_state"]["metrics"][0]) == {"a": 1}
    assert "argparse.Namespace" in foreign.inert
    report = convert_checkpoint(source, tmp_path / "out.pt")
    assert report.is_complete
    assert any("argparse.Namespace" in note for note in report.notes)
    load_network(tmp_path / "out.pt")


def test_pretrained_weights_reach_the_classifier(
    foreign_file: Write, tmp_path: Path, build: Build
) -> None:
    out = tmp_path / "out.pt"
    convert_checkpoint(foreign_file(), out)
    config = FinetuningConfig(model_path=str(out), num_labels=4, dropout=0.3)
    network = build_finetuned(EcgTransformerClassifier, config)
    assert (network.config.encoder_layers, network.config.dropout) == (2, 0.3)
    pretrained = build("wav2vec2_cmsc").state_dict()
    for key, tensor in network.encoder.state_dict().items():
        assert torch.equal(tensor, pretrained[key]), key
    masked = FinetuningConfig(model_path=str(out), num_labels=4, apply_mask=True, mask_prob=0.3)
    network = build_finetuned(EcgTransformerClassifier, masked)
    assert torch.equal(network.encoder.mask_emb, pretrained["mask_emb"])


def test_finetuning_without_weights_must_be_wanted(foreign_file: Write) -> None:
    with pytest.raises(EcgError, match="no_pretrained_weights"):
        build_finetuned(EcgTransformerClassifier, FinetuningConfig(num_labels=2))
    foreign = FinetuningConfig(num_labels=2, model_path=str(foreign_file()))
    with pytest.raises(CheckpointError, match="ecg-fairseq convert"):
        build_finetuned(EcgTransformerClassifier, foreign)


def test_what_upstream_cannot_build_is_not_exported(
    build: Build, tmp_path: Path, foreign_file: Write
) -> None:
    out = tmp_path / "out.pt"
    convert_checkpoint(foreign_file(), out)
    state = torch.load(out)
    state["cfg"]["model"]["extractor_mode"] = "layer_norm"
    torch.save(state, out)
    with pytest.raises(CheckpointError, match="layer_norm"):
        export_checkpoint(out, tmp_path / "back.pt")
    with pytest.raises(CheckpointError, match="not an ECG-FM network of ours"):
        export_checkpoint(foreign_file(), tmp_path / "back.pt")


def test_console(foreign_file: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(foreign_file()), str(tmp_path / "out.pt")
    assert main(["convert", "--from", "fairseq-signals", source, "--out", out]) == 0
    assert "2 renamed, 0 missing, 0 unexpected" in capsys.readouterr().out
    assert main(["convert", "--to", "fairseq-signals", out, "--out", f"{out}.back", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["renamed"]) == 2
    assert main(["convert", "--from", "fairseq-signals", source, "--out", source]) == 1
    assert "give --out another name" in capsys.readouterr().err
    assert main(["convert", "--from", "fairseq-signals", source, "--out", str(tmp_path)]) == 1
    with pytest.raises(SystemExit) as leaving:
        main(["convert", source, "--out", out])
    assert leaving.value.code == 2


def test_every_network_can_be_converted() -> None:
    assert set(MODEL_NAMES.values()) == set(NETWORKS)


def test_checkpoint_of_ours_must_be_whole(foreign_file: Write, tmp_path: Path) -> None:
    out = tmp_path / "out.pt"
    convert_checkpoint(foreign_file(), out)
    state = torch.load(out)
    for name, tensor in (("final_proj.bias", None), ("surplus", torch.zeros(1))):
        changed = {key: value for key, value in state["model"].items() if key != name}
        if tensor is not None:
            changed[name] = tensor
        torch.save({**state, "model": changed}, out)
        with pytest.raises(CheckpointError, match=name):
            load_network(out)
