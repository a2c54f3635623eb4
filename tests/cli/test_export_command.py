"""``ecg-fairseq export`` as typed: the folder printed, the card filled, failures explained."""

import json

import pytest
from fairseq_in_process import SMALL, train
from toy_manifest import make_manifest

from ecg_fairseq.cli.main import main


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return train(make_manifest(folder, 10).path, folder / "checkpoints", *SMALL)


def test_prints_the_folder_and_writes_a_card_with_floors(checkpoint, tmp_path, capsys):
    results = {"exact_match": 0.5, "majority_exact_match": 0.25, "blind_exact_match": 0.125}
    (tmp_path / "results.json").write_text(json.dumps({**results, "n_test": 40}))
    out = tmp_path / "out"
    command = ["export", "--checkpoint", str(checkpoint), "--out", str(out)]
    assert main([*command, "--results", str(tmp_path / "results.json")]) == 0
    assert capsys.readouterr().out.strip().endswith(str(out))
    card = (out / "README.md").read_text()
    for value in ("0.5", "0.25", "0.125", "40", "not a medical device"):
        assert value in card
    assert (out / "model.safetensors").exists()
    generation = json.loads((out / "generation_config.json").read_text())
    assert generation["do_sample"] is False


def test_without_results_the_card_says_so(checkpoint, tmp_path):
    assert main(["export", "--checkpoint", str(checkpoint), "--out", str(tmp_path / "out")]) == 0
    assert "No scored run was given" in (tmp_path / "out/README.md").read_text()


def test_failures_are_one_sentence(checkpoint, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["export", "--checkpoint", str(tmp_path / "absent.pt"), "--out", out]) == 1
    assert "checkpoint not found" in capsys.readouterr().err
    results = ["--results", str(tmp_path / "absent.json")]
    assert main(["export", "--checkpoint", str(checkpoint), "--out", out, *results]) == 1
    assert "results file not found" in capsys.readouterr().err
    (tmp_path / "occupied").write_text("a file")
    occupied = ["--out", str(tmp_path / "occupied")]
    assert main(["export", "--checkpoint", str(checkpoint), *occupied]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert (tmp_path / "occupied").read_text() == "a file"
