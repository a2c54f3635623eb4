"""``ecg-fairseq prepare``: lists datasets, does what the scripts do, explains wrong names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.records.datasets.registry import DATASETS


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "ludb"
    words = ["simulate", "--layout", "ludb", "--patients", "4", "--out", str(folder)]
    assert main([*words, "--workers", "1"]) == 0
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files; the first line of a segment list names the folder itself."""
    root = str(folder.resolve()).encode()
    return {
        str(path.relative_to(folder)): path.read_bytes().replace(root, b"ROOT")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_help_lists_every_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["prepare", "--help"])
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for name, entry in DATASETS.items():
        assert any(line.split() == [name, *entry.summary.split()] for line in lines), name


def test_help_of_one_dataset_names_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["prepare", "uk_biobank", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "usage: ecg-fairseq prepare uk_biobank" in text
    assert "--only-listed" in text
    assert "--label-table" in text
    assert "field 20205" in text


def test_the_verb_and_the_script_write_the_same(
    raw: Path, tmp_path: Path, project_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--recipe", "ecg_fm", "--label-set", "rhythm", "--progress", "silent"]
    assert main(["prepare", "ludb", str(raw), "--out", str(tmp_path / "verb"), *options]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    words = [sys.executable, str(project_dir / "manifests/ludb.py"), str(raw), *options]
    result = subprocess.run(
        [*words, "--out", str(tmp_path / "script")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(project_dir)},
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]).keys() == printed.keys()
    assert files_of(tmp_path / "verb") == files_of(tmp_path / "script")


def test_an_unknown_dataset_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "ptbxl", "raw", "--out", "m", "--recipe", "ecg_fm"]) == 1
    assert capsys.readouterr().err.startswith(
        "ecg-fairseq prepare: no dataset 'ptbxl'; did you mean ptb_xl"
    )


def test_failures_and_bad_usage_name_the_command(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["prepare", "ludb", str(raw), "--out", str(tmp_path / "m"), "--recipe"]
    assert main([*base, "nix"]) == 1
    assert capsys.readouterr().err.startswith("ecg-fairseq prepare ludb: ")
    with pytest.raises(SystemExit) as caught:
        main([*base, "ecg_fm", "--nix"])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        main(["prepare"])
    assert caught.value.code == 2
    assert main(["prepare", "--debug", *base[1:], "nix"]) == 1
    assert "Traceback" in capsys.readouterr().err
