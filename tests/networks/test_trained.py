"""Any checkpoint is opened by the name of its model, once, and says what it can do."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_encoders import save_encoder, save_record

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.encoders.registry import (
    EncoderKind,
    encoder_kind,
    network_kind,
    register_encoder,
)
from ecg_fairseq.networks.trained import (
    ANSWERERS,
    CAPABILITIES,
    ENCODERS,
    NETWORKS,
    Trained,
    open_trained,
)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that torch reads."""
    names, load = [], torch.load

    def keep(path: Any, *words: Any, **options: Any) -> Any:
        names.append(Path(path).name)
        return load(path, *words, **options)

    monkeypatch.setattr(torch, "load", keep)
    return names


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ecg_transformer_classifier", {"embed", "score_labels"}),
        ("arcface", {"embed", "identify"}),
        ("wav2vec2_cmsc", {"embed"}),
        ("ecg_wav2vec2", {"embed"}),
        ("ecg_transformer", {"embed"}),
    ],
)
def test_capabilities(name: str, wanted: set[str], tmp_path: Path) -> None:
    save_encoder(tmp_path / "c.pt", name)
    trained = open_trained(tmp_path / "c.pt")
    assert trained.name == name
    assert set(trained.capabilities) == wanted <= set(CAPABILITIES)
    assert trained.require("embed").path == str(tmp_path / "c.pt")


def test_a_missing_capability_says_what_to_use_instead() -> None:
    answerer = Trained("c.pt", "ecg_llm", {"answer": object()})
    with pytest.raises(EcgError, match=r"c.pt \(model ecg_llm\) has no ECG encoder.*--question"):
        answerer.require("embed")
    with pytest.raises(EcgError, match=r"scores no labels; .*--question"):
        answerer.require("score_labels")


def test_the_file_is_read_once(tmp_path: Path, loads: list[str], capsys: Any) -> None:
    save_encoder(tmp_path / "c.pt")
    record = save_record(tmp_path / "rec.npy")
    words = [str(record), "--checkpoint", str(tmp_path / "c.pt")]
    assert main(["predict", *words, "--json"]) == 0
    assert loads == ["c.pt"]
    assert json.loads(capsys.readouterr().out)["num_segments"] == 2
    assert main(["plot", *words, "--out", str(tmp_path / "x.png"), "--dpi", "30"]) == 0
    assert loads == ["c.pt"] * 2


@pytest.mark.parametrize("model", [None, "text", {}, {"_name": "absent"}, {"_name": ["list"]}])
def test_unknown_models_are_refused(model: Any, tmp_path: Path) -> None:
    torch.save({"cfg": {"model": model}, "model": {}}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match=r"holds the model .* not an ECG encoder of ours"):
        open_trained(tmp_path / "c.pt")


def test_every_name_of_the_tables_is_registered_by_its_module() -> None:
    for name in ENCODERS:
        assert encoder_kind(name).name == name
    for name in NETWORKS:
        assert network_kind(name, "x").name == name
    assert not set(ANSWERERS) & set(NETWORKS)


def test_a_name_belongs_to_one_encoder() -> None:
    known = encoder_kind("ecg_transformer")
    register_encoder(known)
    with pytest.raises(EcgError, match="ecg_transformer is registered already"):
        register_encoder(EncoderKind("ecg_transformer", known.config, torch.nn.Identity))
