"""``ecg-fairseq plot --checkpoint``: what a network looked at, on ECG paper."""

from pathlib import Path

import numpy as np
import pytest
from toy_encoders import LABELS, make_segment_manifest, save_encoder, save_record, state_of

from ecg_fairseq.cli.main import main
from ecg_fairseq.networks.encoders.integrated_gradients.baselines import training_segments
from ecg_fairseq.networks.encoders.record_saliency import (
    GRADIENT_METHODS,
    METHODS,
    for_display,
    record_saliency,
)
from ecg_fairseq.networks.trained import load_trained_encoder
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.segments.segment_list import SegmentList
from ecg_fairseq.signal.recipes import get_recipe


@pytest.fixture
def files(tmp_path: Path) -> Path:
    state = state_of(get_recipe("ecg_fm"), labels=list(LABELS))
    save_encoder(tmp_path / "c.pt", task_state=state)
    save_encoder(tmp_path / "pretrained.pt", "wav2vec2_cmsc")
    save_record(tmp_path / "rec.npy")
    return tmp_path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Collects what is handed to the drawing."""
    from ecg_fairseq.plot import ecg

    calls, draw = [], ecg.plot_ecg

    def keep(record, **options):
        calls.append(options)
        return draw(record, **options)

    monkeypatch.setattr(ecg, "plot_ecg", keep)
    return calls


def plot(files: Path, checkpoint: str, *words: str) -> int:
    paths = [str(files / name) for name in ("rec.npy", checkpoint, "x.png")]
    return main(["plot", paths[0], "--checkpoint", paths[1], "--out", paths[2], *words])


@pytest.mark.parametrize("method", METHODS)
def test_the_map_of_the_label_is_drawn(
    method: str, files: Path, drawn: list[dict], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--saliency", method, "--label", "infarction", "--dpi", "30"]
    assert plot(files, "c.pt", *words) == 0
    error = capsys.readouterr().err
    assert (files / "x.png").stat().st_size > 2000
    system = load_trained_encoder(files / "c.pt")
    found = record_saliency(system, read_record(files / "rec.npy"), method, 2)
    np.testing.assert_allclose(drawn[0]["scores"], for_display(found, method), atol=1e-6)
    caption = drawn[0]["overlay_text"]
    if method in GRADIENT_METHODS:
        assert caption.startswith("Infarction 0.")
        assert error == ""
        return
    # Attention is of no label: none is named in the picture, and it is said.
    assert not any(label in caption for label in LABELS)
    assert f"saliency {method} is the same for every label" in error
    drawn.clear()
    assert plot(files, "c.pt", "--saliency", method, "--dpi", "30") == 0
    assert drawn[0]["overlay_text"] == caption
    assert capsys.readouterr().err == ""


def test_integrated_gradients_compare_with_training_recordings(
    files: Path, drawn: list[dict]
) -> None:
    manifest = make_segment_manifest(files)
    words = ["--saliency", "integrated", "--label", "infarction", "--dpi", "30"]
    assert plot(files, "c.pt", *words, "--baseline", str(manifest)) == 0
    system = load_trained_encoder(files / "c.pt")
    segments = SegmentList.load(manifest / "train.tsv")
    baselines = training_segments(system, segments)
    # Eight segments of the training split, of eight recordings.
    stored = [segments.read(index) for index in range(len(segments))]
    owners = [
        one.idx
        for row in baselines.numpy()
        for one in stored
        if np.array_equal(system.signals.chosen(one.signal[None], one.leads)[0], row)
    ]
    assert len(set(owners)) == len(owners) == len(baselines) == 8
    found = record_saliency(system, read_record(files / "rec.npy"), "integrated", 2, baselines)
    shown = for_display(found, "integrated")
    np.testing.assert_allclose(drawn[0]["scores"], shown, atol=1e-6)
    assert "from 8 training recordings" in drawn[0]["overlay_text"]
    other = record_saliency(system, read_record(files / "rec.npy"), "integrated", 2)
    assert np.nanmax(np.abs(for_display(other, "integrated") - shown)) > 0.1


def test_likeliest_label_and_pretrained_networks(files: Path, drawn: list[dict]) -> None:
    assert plot(files, "c.pt", "--dpi", "30") == 0
    assert plot(files, "pretrained.pt", "--dpi", "30") == 0
    system = load_trained_encoder(files / "c.pt")
    logits = system.logits(system.segments(read_record(files / "rec.npy"))).mean(axis=0)
    assert drawn[0]["overlay_text"].startswith(LABELS[int(logits.argmax())])
    assert "gradient" in drawn[0]["overlay_text"]
    assert drawn[1]["overlay_text"].startswith("attention received")


@pytest.mark.parametrize(
    ("checkpoint", "words", "sentence"),
    [
        ("c.pt", ["--label", "Nothing"], "is not one of Sinus rhythm"),
        ("c.pt", ["--scores", "s.npy"], "two pictures"),
        ("c.pt", ["--tokens", "t.json"], "two pictures"),
        ("pretrained.pt", ["--label", "Infarction"], "no label head"),
        ("pretrained.pt", ["--saliency", "gradient"], "no label head"),
        ("c.pt", ["--baseline", "m"], "give both"),
        ("c.pt", ["--baseline", "absent", "--saliency", "integrated"], "absent"),
    ],
)
def test_failures_are_one_sentence(
    checkpoint: str, words: list[str], sentence: str, files: Path, capsys
) -> None:
    assert plot(files, checkpoint, *words) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not (files / "x.png").exists()


def test_options_of_a_network_need_one(files: Path, capsys) -> None:
    words = ["plot", str(files / "rec.npy"), "--out", str(files / "x.png"), "--label", "A"]
    assert main(words) == 1
    assert "--checkpoint" in capsys.readouterr().err
