"""The scale test itself: its data, what it calls too much memory, what it calls a difference."""

import importlib
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from ecg_fairseq.errors import EcgError
from ecg_fairseq.records.datasets.mimic_iv_ecg import read_mimic_iv_ecg
from ecg_fairseq.records.readers.any_format import read_record

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(autouse=True)
def scripts_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def load(name: str):
    return importlib.import_module(name)


def test_records_share_signals_within_families_only(tmp_path):
    raw_data = load("scale.raw_data")
    settings = raw_data.RawSettings(records=60, signals=16)
    raw_data.make_raw_data(tmp_path / "raw", settings)
    sources = read_mimic_iv_ecg(tmp_path / "raw")
    assert len(sources) == 60
    assert set(Counter(source.patient_id for source in sources).values()) == {5}
    family_of, signals = {}, set()
    for source in sources:
        record = read_record(source.path)
        assert record.signal.shape == (12, 5000)
        node = os.stat(f"{source.path}.dat").st_ino
        signals.add(node)
        family_of.setdefault(source.patient_id, set()).add(node)
    assert len(signals) == 16
    families = {frozenset(nodes) for nodes in family_of.values()}
    assert sorted(map(len, families)) == [4, 4, 4, 4]
    assert not frozenset.intersection(*families)
    header = Path(f"{sources[7].path}.hea").read_text()
    assert header.count(f"{sources[7].record_id}.dat 16 200.0(0)/mV") == 12
    before = os.stat(tmp_path / "raw/record_list.csv").st_mtime_ns
    raw_data.make_raw_data(tmp_path / "raw", settings)
    assert os.stat(tmp_path / "raw/record_list.csv").st_mtime_ns == before
    with pytest.raises(EcgError, match="holds other"):
        raw_data.make_raw_data(tmp_path / "raw", raw_data.RawSettings(61, 16))


def samples_of(*workers_mib: float):
    sample = load("scale.watched_run").Sample
    return [sample(float(n), n, 300.0 + n, (100.0, size)) for n, size in enumerate(workers_mib)]


@pytest.mark.parametrize(
    ("early", "late", "is_met"),
    [(120.0, 125.0, [True, True]), (120.0, 127.0, [True, False]), (700.0, 701.0, [False, True])],
)
def test_memory_that_grows_or_is_large_fails(early, late, is_met):
    checks = load("scale.checks")
    sizes = [early] * 20 + [early] * 60 + [late] * 20
    found = checks.memory_checks(samples_of(*sizes), num_shards=100)
    assert [check.is_met for check in found] == is_met
    assert not checks.memory_checks(samples_of(120.0, 120.0), num_shards=100)[1].is_met


def test_any_difference_between_folders_fails(tmp_path):
    checks = load("scale.checks")
    for name in ("a", "b"):
        (tmp_path / name / "store").mkdir(parents=True)
        (tmp_path / name / "store/x.npy").write_bytes(b"1")
    wanted = checks.digests(tmp_path / "a")
    assert checks.same_files("equal", wanted, checks.digests(tmp_path / "b")).is_met
    (tmp_path / "b/more").write_text("")
    (tmp_path / "b/store/x.npy").write_bytes(b"2")
    found = checks.same_files("other", wanted, checks.digests(tmp_path / "b"))
    assert not found.is_met
    assert found.found == "2 of 2 files differ (more, store/x.npy)"


def test_a_run_that_fails_or_ends_too_soon_is_no_run(tmp_path):
    watched_run = load("scale.watched_run")
    failing = [sys.executable, "-c", "raise SystemExit('no space')"]
    with pytest.raises(EcgError, match="ended with 1: no space"):
        watched_run.run_watched(failing, tmp_path / "m")
    with pytest.raises(EcgError, match="ended before it was to be killed"):
        watched_run.run_killed(failing, tmp_path / "m", 1, 60.0)
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert watched_run.run_killed(sleeping, tmp_path / "m", 0, 0.2) == 0


@pytest.mark.slow
def test_parts_and_workers_at_small_scale(tmp_path, capsys):
    words = ["--work", str(tmp_path), "--records", "120", "--signals", "32", "--shards"]
    assert load("scale_mimic").main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["ok  "] * 4
    assert lines[-1].endswith(".prepare, cmsc, identification, labels, store")


@pytest.mark.slow
def test_a_killed_run_at_small_scale(tmp_path, capsys):
    words = ["--work", str(tmp_path), "--records", "200", "--signals", "32"]
    load("scale_mimic").main(words)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("killed with") for line in lines) == 5
    assert lines[-1].startswith("ok    5 times SIGKILL and resume: 0 of")
    assert "projected for 800000" in "".join(lines)
    table = (tmp_path / "memory.tsv").read_text().splitlines()
    assert table[0].split("\t")[0] == "seconds"
