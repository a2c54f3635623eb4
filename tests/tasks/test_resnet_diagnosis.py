"""``resnet_diagnosis_tiny``: trains through ecg_classification, and every verb takes the result."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq_in_process import train, validate
from toy_encoders import make_segment_manifest, save_record

from ecg_fairseq.cli.main import main
from ecg_fairseq.networks.trained import open_trained
from ecg_fairseq.records.labels.label_files import read_label_files
from ecg_fairseq.records.manifest.folder import Manifest

NAME = "resnet_diagnosis_tiny"
WIDTH = 32
QUICK = (
    "model.encoder_settings.base_width=4",
    "optimization.max_update=30",
    "dataset.validate_interval_updates=30",
    "checkpoint.save_interval_updates=30",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a manifest whose first label is plain to see, a checkpoint and a recording."""
    folder = tmp_path_factory.mktemp("world")
    make_segment_manifest(folder)
    train(folder / "manifest", folder, *QUICK, name=NAME)
    save_record(folder / "rec.npy")
    return folder


def test_it_learns_what_can_be_seen(world: Path) -> None:
    logged = validate("ecg_classification", world / "manifest", world / "checkpoint_last.pt")
    assert "auroc_macro" in logged
    system = open_trained(world / "checkpoint_last.pt").require("score_labels")
    assert system.labels == ("Fast", "Coin")
    manifest = Manifest.load(world / "manifest")
    names, truth = read_label_files(world / "manifest" / "labels")
    logits = [
        float(system.logits(manifest.segment(row.record_id, 0)[None])[0, 0])
        for row in manifest.records.values()
    ]
    is_fast = truth[:, names.index("Fast")]
    held_out = [row.split != "train" for row in manifest.records.values()]
    seen = np.array(held_out) & np.isfinite(is_fast)
    assert min(np.array(logits)[seen & (is_fast == 1)]) > max(
        np.array(logits)[seen & (is_fast == 0)]
    )


def test_the_checkpoint_holds_all_settings_of_the_encoder(world: Path) -> None:
    state = torch.load(world / "checkpoint_last.pt", weights_only=True)
    assert state["cfg"]["model"]["encoder"] == "resnet"
    settings = state["cfg"]["model"]["encoder_settings"]
    assert settings == {
        "depth": 18, "num_leads": 12, "base_width": 4, "stem_kernel": 7, "use_max_pool": True,
    }  # fmt: skip


def test_predict(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = str(world / "checkpoint_last.pt")
    assert main(["predict", str(world / "rec.npy"), "--checkpoint", checkpoint, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"Fast", "Coin"} <= set(json.dumps(said).replace('"', " ").split())


@pytest.mark.parametrize("options", [[], ["--pooling", "max"], ["--random-init"]])
def test_embed(options: list[str], world: Path, tmp_path: Path) -> None:
    words = ["embed", "--checkpoint", str(world / "checkpoint_last.pt"), str(world / "manifest")]
    assert main([*words, "--out", str(tmp_path / "x.npy"), *options]) == 0
    assert np.load(tmp_path / "x.npy").shape == (24, WIDTH)


def test_probe(world: Path, tmp_path: Path) -> None:
    words = ["probe", "--checkpoint", str(world / "checkpoint_last.pt"), str(world / "manifest")]
    assert (
        main(
            [
                *words,
                "--out",
                str(tmp_path),
                "--fractions",
                "1",
                "--seeds",
                "1",
                "--resamples",
                "20",
            ]
        )
        == 0
    )
    assert (tmp_path / "probe.json").is_file()


def test_gradient_saliency_is_drawn_and_attention_is_not(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["plot", str(world / "rec.npy"), "--checkpoint", str(world / "checkpoint_last.pt")]
    words += ["--out", str(tmp_path / "x.png"), "--dpi", "30"]
    assert main([*words, "--saliency", "gradient", "--label", "Fast"]) == 0
    assert (tmp_path / "x.png").stat().st_size > 2000
    capsys.readouterr()
    assert main([*words, "--saliency", "attention"]) == 1
    assert "has no attention to show" in capsys.readouterr().err


def test_it_is_where_another_finetuning_starts(world: Path, tmp_path: Path) -> None:
    start = (f"model.model_path={world}/checkpoint_last.pt", "model.no_pretrained_weights=false")
    checkpoint = train(
        world / "manifest", tmp_path, *start, "model.freeze_finetune_updates=9", name=NAME
    )
    before = torch.load(world / "checkpoint_last.pt", weights_only=True)["model"]
    after = torch.load(checkpoint, weights_only=True)["model"]
    # Its width is the checkpoint's, not the YAML's, and the encoder's weights stood still.
    name = "encoder.trunk.conv1.weight"
    assert torch.equal(before[name], after[name])
    assert not torch.equal(before["proj.weight"], after["proj.weight"])
