"""Stage ``loader`` of scripts/bench.py: it times equal batches only, and says what it timed."""

import argparse
import importlib
from pathlib import Path

import pytest


def test_every_way_to_load_is_timed(project_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(project_dir / "scripts"))
    stage = importlib.import_module("benchmarks.loader")
    parser = argparse.ArgumentParser()
    stage.add_arguments(parser)
    small = ["--segments", "96", "--batch-size", "16", "--passes", "1", "--repeats", "2"]
    result = stage.run(parser.parse_args(small))
    assert result["times_as_fast"] > 0
    assert set(result["ms_per_record"]) == {"mat files", "ours", "ours, masked leads"}
    assert len(result["ms_per_record_with_workers"]) == 4


def test_batches_that_differ_are_not_timed(
    project_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(project_dir / "scripts"))
    stage = importlib.import_module("benchmarks.loader")
    segments = stage._write_store(tmp_path / "manifest", 4)
    files = stage._write_files(tmp_path / "segmented", segments)
    first, last = (tmp_path / "segmented" / f"{number}.mat" for number in (0, 3))
    first.write_bytes(last.read_bytes())
    dataset = stage.SegmentDataset(segments, stage.SignalOptions())
    with pytest.raises(ValueError, match="differ"):
        stage._check_equal(dataset, files, [[0, 1, 2, 3]])
