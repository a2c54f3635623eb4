"""The large manifest at toy size: it is a whole manifest, and its commands are measured."""

import importlib
import sys
from pathlib import Path

import pytest

from ecg_fairseq.errors import EcgError
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.leakage import find_leaks
from ecg_fairseq.records.segments.segment_list import SegmentList

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(autouse=True)
def scripts_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def load(name: str):
    return importlib.import_module(name)


def test_the_large_manifest_is_a_whole_one(tmp_path):
    large = load("scale.large_manifest")
    large.write_large_manifest(tmp_path / "manifest", large.LargeManifest(200, 300))
    manifest = Manifest.load(tmp_path / "manifest")
    assert len(manifest.records) == 200
    counts = {split: len(manifest.questions(split)) for split in ("train", "valid", "test")}
    assert counts == {"train": 240, "valid": 30, "test": 30}
    assert find_leaks([manifest]) == []
    assert len(SegmentList.load(manifest.path / "train.tsv")) == 160
    assert any(len(question.record_ids) == 2 for question in manifest.questions("train"))
    manifest.store.verify()
    with pytest.raises(EcgError, match="exists already"):
        large.write_large_manifest(tmp_path / "manifest", large.LargeManifest(200, 300))


def test_a_command_is_measured_or_its_failure_told():
    measured = load("scale.measured")
    found = measured.measure(
        [sys.executable, "-c", "x = bytes(50 << 20); print(sum(range(10**6)))"]
    )
    assert found.peak_mib > 50
    assert found.cpu_seconds > 0
    with pytest.raises(EcgError, match="failed: no such thing"):
        measured.measure([sys.executable, "-c", "raise SystemExit('no such thing')"])


@pytest.mark.slow
def test_the_script_at_small_scale(tmp_path, capsys):
    words = ["--work", str(tmp_path), "--records", "300", "--questions", "400"]
    load("scale_manifest").main(words)
    lines = capsys.readouterr().out.splitlines()
    names = [
        line.removeprefix("ok").removeprefix("FAIL").strip().partition(":")[0] for line in lines
    ]
    assert names == ["ecg_qa", "ecg_pretraining", "inspect"]
    assert all("peak" in line for line in lines)
