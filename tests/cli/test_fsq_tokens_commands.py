"""``tokenizer export``, ``register``, ``stats`` and ``track`` on FSQ tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ecg_fairseq.cli.main import main
from ecg_fairseq.cli.prepare import prepare_dataset
from ecg_fairseq.networks.heartllm.config import config_of
from ecg_fairseq.networks.heartllm.convert import convert_checkpoint
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.tokenizer import EcgTokenizer, open_tokens


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw cohort and its manifest ``m``."""
    folder = tmp_path_factory.mktemp("cohort")
    assert main(["simulate", "--out", str(folder / "raw"), "--patients", "9", "--seed", "3"]) == 0
    words = [str(folder / "raw"), "--out", str(folder / "m"), "--recipe", "heartllm"]
    assert prepare_dataset("ptb_xl", [*words, "--progress", "silent"]) == 0
    return folder


@pytest.fixture(scope="module")
def tokens_file(cohort: Path) -> Path:
    """Tokens of a small network, exported from its checkpoint."""
    return exported(cohort, "a", 0)


def exported(folder: Path, name: str, seed: int) -> Path:
    torch.manual_seed(seed)
    network = FsqAutoencoder(config_of({"channels_per_lead": 8, "levels": [5, 5, 4]}))
    with torch.no_grad():
        network.enc.to_code.weight.mul_(20)
    torch.save({"model": dict(network.state_dict()), "step": 1}, folder / f"{name}.best.pt")
    checkpoint = folder / f"{name}.pt"
    convert_checkpoint(folder / f"{name}.best.pt", checkpoint, recipe="heartllm", levels="5,5,4")
    out = folder / f"{name}.json"
    assert main(["tokenizer", "export", "--checkpoint", str(checkpoint), "--out", str(out)]) == 0
    return out


def output(capsys, *words: str) -> dict:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def refusal(capsys, *words: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 1
    return capsys.readouterr().err


def test_register_enters_it_and_training_finds_it(cohort, tokens_file, capsys):
    out = output(capsys, "tokenizer", "register", "--tokenizer", tokens_file, cohort / "m")
    entry = Manifest.load(cohort / "m").meta["tokenizer"]
    assert entry["sha256"] == out["sha256"] == open_tokens(tokens_file).sha256()


def test_stats_are_those_of_plain_loops(cohort, tokens_file, tmp_path, capsys):
    words = ["tokenizer", "stats", "--tokenizer", tokens_file, "--input", cohort / "m"]
    found = output(capsys, *words, "--out", tmp_path, "--limit", "6")
    (corpus,) = found["corpora"]
    tokens, manifest = open_tokens(tokens_file), Manifest.load(cohort / "m")
    rows = [row.first_row for row in manifest.split_records("train")][:6]
    signal = np.stack([manifest.store.read(row) for row in rows])
    ids = np.stack(tokens.encode(signal))
    shares = np.bincount(ids.ravel(), minlength=100) / ids.size
    assert corpus["num_tokens"] == ids.size == 6 * 313
    assert corpus["ids_possible"] == 100
    assert corpus["ids_used"] == (shares > 0).sum()
    used = shares[shares > 0]
    assert corpus["code_perplexity"] == pytest.approx(np.exp(-(used * np.log(used)).sum()))
    for place in range(3):
        digits = ids // [1, 5, 25][place] % [5, 5, 4][place]
        wanted = np.bincount(digits.ravel(), minlength=[5, 5, 4][place]) / ids.size
        assert corpus["level_shares"][place] == pytest.approx(wanted)
    difference = np.stack([tokens.decode(one) for one in ids]).astype(np.float64) - signal
    in_mv = difference * np.stack([manifest.store.scaling(row) for row in rows])[..., 1:]
    for unit, values in (("sd", difference), ("mv", in_mv)):
        errors = corpus["reconstruction"]
        assert errors[f"rmse_{unit}"] == pytest.approx(np.sqrt((values**2).mean()), rel=1e-5)
        by_lead = errors[f"rmse_{unit}_by_lead"]
        assert by_lead["aVR"] == pytest.approx(np.sqrt((values[:, 3] ** 2).mean()), rel=1e-5)
    for name in ("stats.json", "usage.png", "reconstruction_0.png"):
        assert (tmp_path / name).stat().st_size > 0


def test_two_autoencoders_are_compared_id_by_id(cohort, tokens_file, tmp_path, capsys):
    other = exported(cohort, "b", 1)
    words = ["tokenizer", "stats", "--tokenizer", tokens_file, "--input", cohort / "m"]
    words += ["--out", tmp_path, "--limit", "2", "--against"]
    assert output(capsys, *words, tokens_file)["agreement"][0]["share_equal"] == 1.0
    assert output(capsys, *words, other)["agreement"][0]["share_equal"] < 0.5
    EcgTokenizer([[97, 98]]).save(tmp_path / "bpe.json")
    assert "kind ecg_bpe" in refusal(capsys, *words, tmp_path / "bpe.json")


def test_track_says_what_every_token_covers(cohort, tokens_file, tmp_path, capsys):
    record = next(Manifest.load(cohort / "m").split_records("test")).record_id
    words = ["--tokenizer", tokens_file, "--out", tmp_path / "t.png"]
    found = output(capsys, "tokenizer", "track", record, "--manifest", cohort / "m", *words)
    assert (found["num_tokens"], found["tokens_of_all_leads"]) == (313, 313)
    assert found["tokens_crossing_strips"] == 0
    # A token stands for all leads: it starts in none of them, and has one span.
    assert found["tokens_starting_in_strip"] == []
    assert len(found["spans"]) == 313
    assert found["spans"][-1].items() >= {"lead": "all", "start": 4992, "end": 5000}.items()
    assert len(json.dumps(found)) < 30_000
    assert (tmp_path / "t.png").stat().st_size > 0
    header = next((cohort / "raw/records500").rglob("*.hea"))
    found = output(capsys, "tokenizer", "track", header, *words, "--leads", "II", "V1")
    assert found["num_tokens"] == 313
    words[-1] = tmp_path / "t.bmp"
    error = refusal(capsys, "tokenizer", "track", header, *words)
    assert "written as .png, .svg, .pdf, not .bmp" in error
    assert "Traceback" not in error


def test_another_registered_tokenizer_is_said_to_give_way(cohort, tokens_file, tmp_path, capsys):
    register = ["tokenizer", "register", str(cohort / "m"), "--tokenizer"]
    assert main([*register, str(tokens_file)]) == 0
    capsys.readouterr()
    assert main([*register, str(tokens_file)]) == 0
    assert capsys.readouterr().err == ""
    other = exported(cohort, "other", 5)
    capsys.readouterr()
    assert main([*register, str(other)]) == 0
    assert "had ../a.json registered; now" in capsys.readouterr().err
    train = ["tokenizer", "train", "--input", str(cohort / "m"), "--num-merges", "2"]
    main([*train, "--out", str(tmp_path / "bpe.json"), "--progress", "silent"])
    assert "had ../other.json registered; now" in capsys.readouterr().err


def test_predict_names_the_usual_next_step(cohort, tokens_file, capsys):
    record = next((cohort / "raw/records500").rglob("*.hea"))
    error = refusal(capsys, "predict", record, "--checkpoint", cohort / "a.pt")
    assert "; `ecg-fairseq tokenizer export` writes its tokens" in error


def test_what_does_not_go_together_is_explained(cohort, tokens_file, tmp_path, capsys):
    raw, out = cohort / "raw", ["--out", tmp_path / "s"]
    words = [str(raw), "--out", str(tmp_path / "reference"), "--recipe", "heartllm_reference"]
    assert prepare_dataset("ptb_xl", [*words, "--progress", "silent"]) == 0
    stats = ["tokenizer", "stats", "--tokenizer", tokens_file, *out, "--input"]
    assert "made for recipe heartllm (" in refusal(capsys, *stats, tmp_path / "reference")
    (tmp_path / "text.txt").write_text("abc\n")
    assert "no manifest folder" in refusal(capsys, *stats, tmp_path / "text.txt")
    register = ["tokenizer", "register", "--tokenizer", tokens_file]
    assert "made for recipe heartllm (" in refusal(capsys, *register, tmp_path / "reference")
    torch.save({"model": {}, "cfg": {"model": {"_name": "x"}}}, tmp_path / "x.pt")
    export = ["tokenizer", "export", "--out", tmp_path / "y.json", "--checkpoint"]
    assert "holds the model 'x'" in refusal(capsys, *export, tmp_path / "x.pt")
