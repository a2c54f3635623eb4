"""``ecg-fairseq plot`` on files made here and on a real recording."""

import json

import numpy as np
import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipe import Strip
from ecg_fairseq.signal.recipes import get_recipe
from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer


@pytest.fixture
def record(tmp_path):
    """A .npy recording of ten seconds with its sidecar."""
    time = np.arange(5000) / 500.0
    signal = np.stack([np.sin(2 * np.pi * (1 + k / 4) * time) for k in range(12)])
    np.save(tmp_path / "rec.npy", signal.astype(np.float32))
    sidecar = {"leads": list(CANONICAL_LEADS), "fs_hz": 500}
    (tmp_path / "rec.json").write_text(json.dumps(sidecar))
    return tmp_path / "rec.npy"


def tokenizer_file(folder, recipe):
    letters = [[97 + i, 97 + i] for i in range(26)]
    tokenizer = EcgTokenizer(
        merges=np.array(letters),
        quantizer=Quantizer(-1.0, 1.0),
        recipe=recipe,
    )
    tokenizer.save(folder / "tok.json")
    return folder / "tok.json"


@pytest.fixture
def drawn_texts(monkeypatch):
    """Collects the texts of every figure that is saved."""
    texts = []
    monkeypatch.setattr(
        "ecg_fairseq.plot.paper.save_figure",
        lambda figure, *_: texts.extend(text.get_text() for text in figure.axes[0].texts),
    )
    return texts


def plot(*words):
    return main(["plot", *[str(word) for word in words]])


@pytest.mark.parametrize("layout", ["3x4", "6x2", "12x1"])
def test_layouts(record, layout, capsys):
    out = record.parent / f"{layout}.png"
    options = ["--speed", 50, "--gain", 5, "--dpi", 40, "--start", 1]
    assert plot(record, "--out", out, "--layout", layout, *options) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_bytes().startswith(b"\x89PNG")


def test_tokens_and_scores(record, drawn_texts):
    recipe = get_recipe("ecg_byte")
    tokens = tokenizer_file(record.parent, {"name": recipe.name, "hash": recipe.hash()})
    np.save(record.parent / "s.npy", np.random.default_rng(0).random((12, 5000)))
    out = record.parent / "x.png"
    assert plot(record, "--out", out, "--tokens", tokens, "--scores", record.parent / "s.npy") == 0
    assert "bars: tokens (" in " ".join(drawn_texts)
    assert any(text.startswith("score 0") for text in drawn_texts)


def test_recipes_without_plain_time_are_drawn_as_strips(record, monkeypatch, drawn_texts, capsys):
    recipe = get_recipe("ecg_byte")
    strips = [Strip("I", "median_beat", 50.0, 40), Strip("II", "rhythm", 50.0, 500)]
    monkeypatch.setattr(type(recipe), "strips", property(lambda self: tuple(strips)))
    monkeypatch.setattr(type(recipe), "apply", lambda *_: np.zeros((1, 540), np.float32))
    tokens = tokenizer_file(record.parent, {"name": recipe.name, "hash": recipe.hash()})
    out = record.parent / "x.png"
    assert plot(record, "--out", out, "--tokens", tokens) == 0
    assert "drawing its strips" in capsys.readouterr().err
    assert drawn_texts[:2] == ["I beat", "II rhythm"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x.txt"], "png, svg, pdf"),
        (["--out", "x.png", "--start", "99"], "lasts 10 s"),
        (["--out", "x.png", "--dpi", "5"], "20 to 1200"),
        (["--out", "x.png", "--scores", "absent.npy"], "cannot be read"),
        (["--out", "x.png", "--scores", "objects.npy"], "cannot be read"),
        (["--out", "x.png", "--scores", "short.npy"], "do not fit"),
        (["--out", "x.png", "--tokens", "tok.json"], "names no recipe"),
    ],
)
def test_mistakes_are_explained(record, monkeypatch, capsys, words, message):
    monkeypatch.chdir(record.parent)
    np.save("short.npy", np.zeros(10))
    np.save("objects.npy", np.array([{}], dtype=object))
    tokenizer_file(record.parent, None)
    assert plot(record, *words) == 1
    assert message in capsys.readouterr().err
    assert not (record.parent / "x.png").exists()


def test_a_tokenizer_of_another_recipe_version_is_refused(record, capsys):
    tokens = tokenizer_file(record.parent, {"name": "ecg_byte", "hash": "0" * 64})
    assert plot(record, "--out", record.parent / "x.png", "--tokens", tokens) == 1
    assert "ecg_byte" in capsys.readouterr().err


def test_a_real_recording(shared_dir, tmp_path):
    header = next((shared_dir / "data" / "ptb-xl" / "records500").rglob("*_hr.hea"))
    assert plot(header.with_suffix(""), "--out", tmp_path / "x.png", "--dpi", 50) == 0
