"""The verb ``recipe`` and the benchmark modules of this room."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.signal.recipes import RECIPE_NAMES

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))


VERSION_1 = ("ecg_byte_reference", "ecg_byte_beat", "ecg_fm_reference", "heartllm_reference")


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_every_recipe_explains_itself(name, capsys):
    assert main(["recipe", name]) == 0
    out = capsys.readouterr().out
    assert f"recipe {name}, version {1 if name in VERSION_1 else 2}" in out
    assert "1. leads" in out
    assert main(["recipe", name, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert set(described) == {"name", "version", "hash", "constants", "layout"}


@pytest.fixture
def recording(tmp_path):
    time = np.arange(5000) / 500
    lead = sum(np.exp(-(((time - beat) / 0.02) ** 2)) for beat in np.arange(0.5, 10, 0.8))
    np.save(tmp_path / "e.npy", np.linspace(0.5, 1, 12)[:, None] * lead)
    leads = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    (tmp_path / "e.json").write_text(json.dumps({"leads": leads, "fs_hz": 500}))
    return tmp_path / "e.npy"


@pytest.mark.parametrize("name", ["ecg_byte", "ecg_byte_beat"])
def test_a_record_is_shown_before_and_after(name, recording, tmp_path, capsys):
    picture = tmp_path / "steps.png"
    assert main(["recipe", name, str(recording), "--plot", str(picture)]) == 0
    assert "shape (12, 5000)" in capsys.readouterr().out or name == "ecg_byte_beat"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_mistakes_are_explained_in_one_line(recording, capsys):
    for arguments, message in (
        (["nix"], "unknown recipe"),
        (["ecg_byte", "nowhere"], "not found"),
        (["ecg_byte", "--plot", "x.png"], "needs a RECORD"),
        (["ecg_byte", str(recording), "--plot", "x.png", "--lead", "V9"], "--lead V9"),
    ):
        assert main(["recipe", *arguments]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("stage", ["wfdb_read", "recipe"])
def test_benchmarks_check_equality_and_report(stage):
    import importlib

    module = importlib.import_module(f"benchmarks.{stage}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    result = module.run(parser.parse_args(["--records", "2", "--repeats", "1"]))
    assert json.dumps(result)
    if stage == "recipe":
        assert result["times_as_fast"] > 1
    else:
        assert result["format_16"]["max_abs_err_mv"] <= 1e-6
