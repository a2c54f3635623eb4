"""Training, embed, probe, predict, plot and saliency with an encoder that the package never saw."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fairseq_in_process import TWO_UPDATES, compose
from omegaconf import OmegaConf, open_dict
from second_encoder import NAME, ToyEncoder
from toy_encoders import make_segment_manifest, save_record

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.encoders.encoder import AttentiveEncoder, Encoder
from ecg_fairseq.networks.encoders.trained_encoder import random_encoder
from ecg_fairseq.networks.trained import load_trained_encoder, open_trained

CLASSIFIER, ARCFACE = "ecg_encoder_classifier", "ecg_encoder_arcface"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 recordings under recipe ecg_fm, with labels Fast and Coin."""
    return make_segment_manifest(tmp_path_factory.mktemp("manifest"))


def finetune(manifest: Path, folder: Path, name: str = CLASSIFIER, **model: Any) -> Path:
    """Train two updates through fairseq's own main; return the checkpoint."""
    from fairseq import metrics
    from fairseq_cli.train import main as train

    metrics.reset()
    yaml = "diagnosis_tiny" if name == CLASSIFIER else "identification_tiny"
    cfg = compose(yaml, f"task.data={manifest}", f"checkpoint.save_dir={folder}", *TWO_UPDATES)
    with open_dict(cfg):
        cfg.model = OmegaConf.create({"_name": name, **model})
    train(cfg)
    return folder / "checkpoint_last.pt"


@pytest.fixture(scope="module", params=["linear", "attention"])
def classifier(manifest: Path, tmp_path_factory: pytest.TempPathFactory, request: Any) -> Path:
    """Two updates from random weights, with either head."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = {"encoder": NAME, "encoder_settings": {"width": 6}, "head": request.param}
    return finetune(manifest, folder, no_pretrained_weights=True, **settings)


@pytest.fixture(scope="module")
def identification(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"encoder": NAME, "no_pretrained_weights": True}
    return finetune(manifest, tmp_path_factory.mktemp("people"), ARCFACE, **settings)


def test_checkpoint_holds_all_settings_of_its_encoder(classifier: Path) -> None:
    state = torch.load(classifier, weights_only=True)
    wanted = {"width": 6, "leads": 12, "stride": 25, "dropout": 0.0}
    assert state["cfg"]["model"]["encoder_settings"] == wanted
    assert state["cfg"]["model"]["num_labels"] == 2
    assert {key for key in state["model"] if key.startswith("encoder.")} == {
        "encoder.convolution.weight",
        "encoder.convolution.bias",
    }


def test_capabilities_are_those_of_the_head(classifier: Path, identification: Path) -> None:
    trained = open_trained(classifier)
    assert isinstance(trained.require("score_labels").trained.encoder, ToyEncoder)
    assert trained.can("embed")
    assert not trained.can("identify")
    people = open_trained(identification)
    assert people.can("identify")
    assert people.can("embed")
    with pytest.raises(EcgError, match=r"tells people apart.*ecg-fairseq embed"):
        people.require("score_labels")
    with pytest.raises(EcgError, match=r"answers no questions .*predict RECORD` scores"):
        trained.require("answer")


def test_predict(classifier: Path, tmp_path: Path, capsys: Any) -> None:
    record = save_record(tmp_path / "rec.npy")
    assert main(["predict", str(record), "--checkpoint", str(classifier), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said["labels"]) == ["Fast", "Coin"]
    assert said["num_segments"] == 2
    assert 0.0 < said["labels"]["Fast"]["probability"] < 1.0


def test_embed_takes_the_encoders_own_vector(
    classifier: Path, manifest: Path, tmp_path: Path, capsys: Any
) -> None:
    words = ["embed", str(manifest), "--checkpoint", str(classifier), "--per", "segment"]
    values = {}
    for pooling in ([], ["--pooling", "encoder"], ["--pooling", "mean"]):
        out = tmp_path / "x.npy"
        assert main([*words, "--out", str(out), *pooling]) == 0
        values[" ".join(pooling)] = np.load(out)
        assert json.loads(capsys.readouterr().out)["pooling"] == (pooling or ["", "encoder"])[1]
    np.testing.assert_array_equal(values[""], values["--pooling encoder"])
    # The toy adds 2 to the largest of values in -1 ... 1; a mean stays in that range.
    assert values[""].shape[1] == 6
    assert values[""].min() >= 1.0 >= np.abs(values["--pooling mean"]).max()


def test_probe(identification: Path, manifest: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["probe", str(manifest), "--checkpoint", str(identification), "--seeds", "1"]
    words += ["--fractions", "1", "--resamples", "0", "--out", str(tmp_path / "probe")]
    assert main(words) == 0
    facts = json.loads((tmp_path / "probe" / "probe.json").read_text())
    assert facts["network"] == ARCFACE
    assert facts["pooling"] == "encoder"


@pytest.mark.parametrize("method", ["gradient", "integrated"])
def test_plot_saliency(method: str, classifier: Path, tmp_path: Path) -> None:
    record, out = save_record(tmp_path / "rec.npy"), tmp_path / "x.png"
    words = ["plot", str(record), "--checkpoint", str(classifier), "--out", str(out)]
    assert main([*words, "--saliency", method, "--label", "Fast", "--dpi", "30"]) == 0
    assert out.stat().st_size > 2000


def test_no_attention_is_said(classifier: Path, tmp_path: Path, capsys: Any) -> None:
    record = save_record(tmp_path / "rec.npy")
    words = ["plot", str(record), "--checkpoint", str(classifier), "--out", str(tmp_path / "x.png")]
    assert main([*words, "--saliency", "rollout"]) == 1
    assert "has no attention to show" in capsys.readouterr().err


def test_attention_is_drawn_where_it_is_offered(manifest: Path, tmp_path: Path) -> None:
    from ecg_fairseq.networks.encoders.record_saliency import segment_saliency

    settings = {"encoder": "toy_attentive", "no_pretrained_weights": True}
    system = load_trained_encoder(finetune(manifest, tmp_path, ARCFACE, **settings))
    segments = torch.zeros(1, 12, 2500)
    found = segment_saliency(system, segments, "rollout", None)
    # Frames are 25 samples long; the third has its middle at sample 62.
    assert found.shape == (1, 12, 2500)
    assert found[0, 5].argmax() == 62


def test_pretrained_weights_and_their_architecture_are_taken(
    classifier: Path, manifest: Path, tmp_path: Path
) -> None:
    start = {"model_path": str(classifier), "encoder_settings": {"width": 99, "dropout": 0.5}}
    out = finetune(manifest, tmp_path, ARCFACE, freeze_finetune_updates=99, **start)
    new, old = (torch.load(path, weights_only=True) for path in (out, classifier))
    for key in ("encoder.convolution.weight", "encoder.convolution.bias"):
        assert torch.equal(new["model"][key], old["model"][key])
    wanted = {"width": 6, "leads": 12, "stride": 25, "dropout": 0.5}
    assert new["cfg"]["model"]["encoder_settings"] == wanted
    assert new["cfg"]["model"]["encoder"] == NAME


def test_wrong_settings_are_explained(classifier: Path, manifest: Path, tmp_path: Path) -> None:
    from_nothing = {"no_pretrained_weights": True}
    for model, message in (
        ({"encoder": "absent"}, r"model.encoder='absent' is not an encoder; .*ecg_transformer"),
        ({"encoder": NAME, "encoder_settings": {"depth": 1}}, r"has depth, .* it has width, leads"),
        ({"encoder": NAME, "encoder_settings": {"width": 0}}, "width=0 must be at least 1"),
        ({"encoder": NAME, "head": "tree"}, "model.head='tree' is not one of linear, attention"),
        ({"encoder": NAME, "head": "attention", "head_attention_heads": 3}, "width 8 is not a mu"),
        ({}, r"model.encoder='' is not an encoder"),
    ):
        with pytest.raises(EcgError, match=message):
            finetune(manifest, tmp_path, **from_nothing, **model)
    with pytest.raises(EcgError, match="model_path is not set"):
        finetune(manifest, tmp_path, encoder=NAME)
    with pytest.raises(CheckpointError, match=r"holds an encoder toy_convolutions, but model.enc"):
        finetune(manifest, tmp_path, encoder="ecg_transformer", model_path=str(classifier))


def test_ecg_fms_models_refuse_other_encoders(
    classifier: Path, manifest: Path, tmp_path: Path
) -> None:
    cfg = compose("diagnosis_tiny", f"task.data={manifest}", f"model.model_path={classifier}")
    from fairseq.tasks import setup_task

    with pytest.raises(CheckpointError, match=r"toy_convolutions, not ECG-FM's.*ecg_encoder_cl"):
        setup_task(cfg.task).build_model(cfg.model)


def test_random_twin_is_the_encoder_alone(classifier: Path) -> None:
    system = load_trained_encoder(classifier)
    segments = np.random.default_rng(0).normal(size=(2, 12, 2500)).astype(np.float32)
    first, again = (random_encoder(system, 1).embeddings(segments) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - system.embeddings(segments)).max() > 1e-4
    assert random_encoder(system, 1).trained.name == NAME


def test_protocols_tell_encoders_apart(classifier: Path) -> None:
    encoder = load_trained_encoder(classifier).trained.encoder
    assert isinstance(encoder, Encoder)
    assert not isinstance(encoder, AttentiveEncoder)
    assert not isinstance(torch.nn.Linear(2, 2), Encoder)
