"""scripts/saliency_truth.py prints what it measured, and explains what it cannot use."""

import importlib
import json
from pathlib import Path

import pytest
from toy_encoders import save_encoder, state_of

from ecg_fairseq.signal.recipes import get_recipe

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    return importlib.import_module("saliency_truth")


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    labels = ["NORM", "AMI", "IMI"]
    save_encoder(tmp_path / "c.pt", task_state=state_of(get_recipe("ecg_fm"), labels=labels))
    return str(tmp_path / "c.pt")


def test_table_and_json_say_the_same(script, checkpoint: str, capsys) -> None:
    assert script.main([checkpoint, "--records", "2", "--smooth-ms", "32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 simulated patients, 4 segments, ")
    assert script.main([checkpoint, "--records", "2", "--smooth-ms", "32", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["label"] == "AMI"
    shares = [value["trained"]["all"], value["random"]["all"]]
    for name, line in zip(script.FIGURES, lines[4:], strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == script.WORDS[name]
        assert cells[1].startswith(f"{shares[0][name]['mean']:.3f} [")
        assert cells[3].startswith(f"{shares[1][name]['mean']:.3f} [")
        assert cells[4] == f"{value['trained']['chance'][name]:.3f}"


def test_failures_are_one_sentence(script, checkpoint: str, tmp_path: Path, capsys) -> None:
    assert script.main([checkpoint, "--label", "Nothing"]) == 1
    assert "is not one of NORM, AMI, IMI" in capsys.readouterr().err
    assert script.main([str(tmp_path / "absent.pt")]) == 1
    assert "not found" in capsys.readouterr().err
