"""The scripts of the challenge's sources, LUDB, PTB and INCART, from the command line on."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.cli.prepare import prepare_dataset
from ecg_fairseq.records.manifest.folder import Manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """Return a function that simulates a layout through the console, once."""
    folder = tmp_path_factory.mktemp("layouts")

    def make(layout: str, patients: int) -> Path:
        out = folder / layout
        if not out.exists():
            words = ["simulate", "--layout", layout, "--patients", str(patients), "--out", str(out)]
            assert main([*words, "--seed", "3", "--workers", "1"]) == 0
        return out

    return make


def run(name: str, *words: object) -> int:
    base = ["--recipe", "ecg_fm", "--progress", "silent", "--max-skip-fraction", "0"]
    return prepare_dataset(name, [*base, *map(str, words)])


@pytest.mark.parametrize(
    ("name", "layout", "patients", "records", "labels"),
    [
        ("physionet_2021", "physionet_2021", 20, 22, 26),
        ("cpsc_2018", "physionet_2021", 20, 2, 9),
        ("cpsc_2018_extra", "physionet_2021", 20, 2, 26),
        ("georgia", "physionet_2021", 20, 3, 26),
        ("csn", "physionet_2021", 20, 7, 26),
        ("ptb", "physionet_2021", 20, 1, 26),
        ("incart", "physionet_2021", 20, 2, 26),
        ("ptb", "ptb", 4, 4, None),
        ("incart", "incart", 1, 1, None),
        ("ludb", "ludb", 5, 5, None),
    ],
)
def test_each_script_makes_a_manifest(
    made, tmp_path, capsys, name, layout, patients, records, labels
):
    raw = made(layout, patients)
    capsys.readouterr()
    assert run(name, raw, "--out", tmp_path / "m") == 0
    last = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert (last["records"], last["skipped"]) == (records, 0)
    manifest = Manifest.load(tmp_path / "m")
    assert manifest.meta["dataset"] == name
    if labels:
        assert len(manifest.meta["labels"]["names"]) == labels
    assert all(row.source for row in manifest.records.values())


def test_options_of_the_challenge_are_refused_in_other_layouts(made, tmp_path, capsys):
    for words in (["--label-set", "all"], ["--drop-flat-leads"]):
        assert run("ptb", made("ptb", 4), *words, "--out", tmp_path / "m") == 1
        assert "leave them out" in capsys.readouterr().err


def test_options_of_the_whole_challenge(made, tmp_path, capsys):
    raw = made("physionet_2021", 20)
    words = [raw, "--sources", "georgia,ningbo", "--label-set", "all", "--fraction", "0.9"]
    assert run("physionet_2021", *words, "--out", tmp_path / "m") == 0
    manifest = Manifest.load(tmp_path / "m")
    assert manifest.meta["labels"]["set"] == "all"
    assert {row.source.split("/")[0] for row in manifest.records.values()} == {"georgia", "ningbo"}
    capsys.readouterr()
    assert run("physionet_2021", raw, "--sources", "nix", "--out", tmp_path / "n") == 1
    assert "expected some of cpsc_2018" in capsys.readouterr().err
    assert run("physionet_2021", tmp_path / "x", "--out", tmp_path / "n") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_parts_make_the_same_whole(made, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ecg_fairseq.records.preparation.prepare.records_per_shard", lambda count: 4
    )
    raw = made("physionet_2021", 20)
    words = [raw, "--sources", "recommended", "--dtype", "float32", "--out"]
    assert run("physionet_2021", *words, tmp_path / "whole", "--workers", "2") == 0
    for part in range(2):
        folder = tmp_path / "parts"
        assert run("physionet_2021", *words, folder, "--shard", f"{part}/2") == 0
    assert run("physionet_2021", *words, tmp_path / "parts") == 0
    for name in ("meta.json", "records.tsv", "labels/y.npy", "labels/label_def.csv"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    stores = [sorted((tmp_path / kind / "store").glob("*.npy")) for kind in ("whole", "parts")]
    assert len(stores[0]) > 2
    for one, other in zip(*stores, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_changed_mat_is_noticed(made, tmp_path, capsys):
    import shutil

    raw = tmp_path / "georgia"
    shutil.copytree(made("physionet_2021", 20) / "training/georgia/g1", raw)
    assert run("georgia", raw, "--out", tmp_path / "m") == 0
    target = raw / "E00001.mat"
    content = bytearray(target.read_bytes())
    content[-2:] = b"\1\0"
    target.write_bytes(bytes(content))
    assert run("georgia", raw, "--out", tmp_path / "m") == 1
    assert "other input" in capsys.readouterr().err
