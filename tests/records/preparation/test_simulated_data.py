"""Manifests of simulated recordings say so, and what is trained on them too."""

import json

import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import read_json, write_json
from ecg_fairseq.records.manifest.provenance import Provenance, provenance_of
from ecg_fairseq.records.preparation.raw_dataset import is_simulated


@pytest.mark.parametrize("is_so", [True, False])
def test_the_manifest_and_a_checkpoint_know_it(ptb_xl, tmp_path, is_so):
    ptb_xl.write()
    if is_so:
        write_json(ptb_xl.folder / "simulation.json", {"format": "ecg_fairseq.simulation"})
    words = ["prepare", "ptb_xl", str(ptb_xl.folder), "--out", str(tmp_path / "m")]
    assert main([*words, "--recipe", "ecg_byte", "--progress", "silent"]) == 0
    meta = read_json(tmp_path / "m/meta.json", ManifestError, "manifest")
    assert meta.get("simulated") is (True if is_so else None)
    source = provenance_of(tmp_path / "m")
    assert source.is_simulated is is_so
    state = json.loads(json.dumps(source.to_state(is_text=True)))
    assert ("simulated" in state) is is_so
    assert Provenance.from_state(state).is_simulated is is_so


def test_only_the_simulators_own_file_counts(tmp_path):
    below = tmp_path / "ecg-qa" / "ecgqa"
    below.mkdir(parents=True)
    assert not is_simulated(below)
    for text in ("", "[]", '{"format": "other"}', "\ud800".encode("utf-8", "replace").decode()):
        (tmp_path / "simulation.json").write_text(text)
        assert not is_simulated(below)
    write_json(tmp_path / "simulation.json", {"format": "ecg_fairseq.simulation", "patients": 3})
    assert is_simulated(below)
    assert is_simulated(tmp_path)
