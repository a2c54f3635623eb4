"""The preparation: same bytes for any number of workers, resume, skips, and refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.cli.prepare import prepare_dataset
from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.records.datasets.ptb_xl import ptb_xl_dataset
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation import shard_jobs
from ecg_fairseq.records.preparation.prepare import (
    PrepareOptions,
    estimate,
    prepare,
    records_per_shard,
)
from ecg_fairseq.signal.recipes import get_recipe


def options(out: Path, **more) -> PrepareOptions:
    return PrepareOptions(
        **{"out": out, "recipe": get_recipe("ecg_byte"), "progress": "silent", **more}
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files; line 1 of a segment list, the folder itself, becomes ROOT."""
    root = str(folder.resolve()).encode()
    return {
        str(path.relative_to(folder)): path.read_bytes().replace(root, b"ROOT")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "plan.json"
    }


@pytest.fixture
def small_shards(monkeypatch):
    """Cut even the small folder into several shards."""
    monkeypatch.setattr(
        "ecg_fairseq.records.preparation.prepare.records_per_shard", lambda count: 4
    )


def test_shards_depend_on_the_number_of_records_alone():
    assert [records_per_shard(n) for n in (1, 316, 3600, 800_000)] == [16, 16, 57, 4096]


def test_same_bytes_for_one_and_two_workers(ptb_xl, tmp_path, small_shards):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    prepare(raw_dataset, options(tmp_path / "one"))
    prepare(raw_dataset, options(tmp_path / "two", workers=2))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(list((tmp_path / "one/store").iterdir())) == 3


def test_parts_of_the_store_make_the_same_whole(ptb_xl, tmp_path, small_shards):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    prepare(raw_dataset, options(tmp_path / "one"))
    counts = [prepare(raw_dataset, options(tmp_path / "parts", shard=(i, 2))) for i in (1, 0)]
    assert [count["records"] for count in counts] == [4, 8]
    assert not (tmp_path / "parts/meta.json").exists()
    prepare(raw_dataset, options(tmp_path / "parts"))
    assert contents(tmp_path / "one") == contents(tmp_path / "parts")


def test_an_interrupted_run_goes_on(ptb_xl, tmp_path, small_shards, monkeypatch):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    prepare(raw_dataset, options(tmp_path / "whole"))
    real, calls = shard_jobs.load_source, []

    def failing(source):
        calls.append(source.record_id)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return real(source)

    monkeypatch.setattr(shard_jobs, "load_source", failing)
    with pytest.raises(KeyboardInterrupt):
        prepare(raw_dataset, options(tmp_path / "m"))
    assert not (tmp_path / "m/meta.json").exists()
    with pytest.raises(ManifestError, match=r"meta\.json"):
        Manifest.load(tmp_path / "m")
    prepare(raw_dataset, options(tmp_path / "m"))
    assert len(calls) == 7 + 8
    assert contents(tmp_path / "m") == contents(tmp_path / "whole")
    prepare(raw_dataset, options(tmp_path / "m"))
    assert len(calls) == 15


@pytest.mark.slow
def test_a_killed_run_ends_in_the_same_bytes_and_leaves_no_worker(shared_dir, tmp_path):
    project = Path(__file__).resolve().parents[3]
    command = [
        *(sys.executable, str(project / "manifests/ptb_xl.py")),
        *(str(shared_dir / "data/ptb-xl"), "--recipe", "ecg_byte", "--workers", "2", "--out"),
    ]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    killed = subprocess.Popen([*command, str(tmp_path / "m")], stderr=subprocess.PIPE)
    while not list((tmp_path / "m").glob(".prepare/shard-*.json")):
        assert killed.poll() is None
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "m/meta.json").exists()
    subprocess.run([*command, str(tmp_path / "m")], check=True, capture_output=True)
    assert contents(tmp_path / "m") == contents(tmp_path / "whole")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _processes_naming(str(tmp_path / "m")):
        time.sleep(0.1)
    assert not _processes_naming(str(tmp_path / "m"))


def _processes_naming(text: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in command and str(os.getpid()) not in str(path):
            found.append(command)
    return found


def test_bad_records_are_skipped_counted_and_listed(ptb_xl, tmp_path):
    ptb_xl.write()
    ptb_xl.header(2).with_suffix(".dat").write_bytes(b"1234")
    ptb_xl.header(5).unlink()
    flat = np.zeros((12, 5000), np.int16)
    flat[:, :] = -32768
    ptb_xl.signals[7] = flat
    from ecg_fairseq.records.readers.wfdb_writer import write_wfdb_record

    write_wfdb_record(ptb_xl.header(7).with_suffix(""), flat, 500, ["I", "II", "III", *"123456789"])
    text = ptb_xl.header(7).read_text()
    for number in range(1, 10):
        text = text.replace(
            f" 0 {number}\n",
            f" 0 {'V' if number < 7 else 'av'}{number if number < 7 else 'RLF'[number - 7]}\n",
        )
    ptb_xl.header(7).write_text(text)
    raw_dataset = ptb_xl_dataset(ptb_xl.folder)
    summary = prepare(raw_dataset, options(tmp_path / "m", max_skip_fraction=0.3))
    assert (summary["records"], summary["skipped"], summary["segments"]) == (9, 3, 45)
    lines = (tmp_path / "m/skipped.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["record_id", "2", "5", "7"]
    assert "4 bytes" in lines[1]
    assert "not found" in lines[2]
    assert "NaN" in lines[3]
    manifest = Manifest.load(tmp_path / "m")
    assert manifest.record_row("2").split == ""
    with pytest.raises(ManifestError, match="was skipped"):
        manifest.segment("2")
    with pytest.raises(ManifestError, match=r"--max-skip-fraction 0\.2"):
        prepare(raw_dataset, options(tmp_path / "strict", max_skip_fraction=0.2))
    assert not (tmp_path / "strict/meta.json").exists()
    assert (tmp_path / "strict/skipped.tsv").read_text().count("\n") == 4


def test_an_unexpected_error_in_one_record_does_not_end_the_run(ptb_xl, tmp_path, monkeypatch):
    real = shard_jobs.load_source

    def failing(source):
        if source.record_id == "4":
            raise ZeroDivisionError("odd record")
        return real(source)

    monkeypatch.setattr(shard_jobs, "load_source", failing)
    assert prepare(ptb_xl_dataset(ptb_xl.write()), options(tmp_path / "m"))["skipped"] == 1
    assert "ZeroDivisionError" in (tmp_path / "m/skipped.tsv").read_text()


def test_another_preparation_is_not_overwritten_unasked(ptb_xl, tmp_path):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    prepare(raw_dataset, options(tmp_path / "m"))
    with pytest.raises(ManifestError, match="other input, recipe"):
        prepare(raw_dataset, options(tmp_path / "m", dtype="int16"))
    prepare(raw_dataset, options(tmp_path / "m", dtype="int16", overwrite=True))
    assert Manifest.load(tmp_path / "m").meta["store"]["dtype"] == "int16"
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("precious")
    with pytest.raises(ManifestError, match="not empty"):
        prepare(raw_dataset, options(tmp_path / "full"))
    prepare(raw_dataset, options(tmp_path / "full", overwrite=True))
    assert (tmp_path / "full/thesis.txt").read_text() == "precious"


@pytest.mark.slow
def test_parts_may_start_at_the_same_moment(shared_dir, tmp_path):
    project = Path(__file__).resolve().parents[3]
    command = [
        *(sys.executable, str(project / "manifests/ptb_xl.py"), str(shared_dir / "data/ptb-xl")),
        *("--recipe", "ecg_byte_beat", "--out", str(tmp_path / "m"), "--progress", "silent"),
    ]
    parts = [subprocess.Popen([*command, "--shard", f"{part}/3"]) for part in range(3)]
    assert [part.wait() for part in parts] == [0, 0, 0]
    subprocess.run(command, check=True, capture_output=True)
    assert Manifest.load(tmp_path / "m").meta["counts"]["records"] == 316


def test_changed_input_is_noticed(ptb_xl, tmp_path):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    prepare(raw_dataset, options(tmp_path / "m"))
    ptb_xl.signals[3][:] = ptb_xl.signals[3] // 2
    ptb_xl.write()
    with pytest.raises(ManifestError, match="other input"):
        prepare(raw_dataset, options(tmp_path / "m"))


def test_int16_is_within_half_a_microvolt(ptb_xl, tmp_path):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    prepare(raw_dataset, options(tmp_path / "f"))
    prepare(raw_dataset, options(tmp_path / "i", dtype="int16"))
    exact, packed = Manifest.load(tmp_path / "f"), Manifest.load(tmp_path / "i")
    for name in exact.records:
        assert np.abs(exact.segment(name, 4) - packed.segment(name, 4)).max() <= 0.000501
    assert exact.split_hash == packed.split_hash


def test_int16_of_standardised_signals_states_its_error(ptb_xl, tmp_path):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    recipe = get_recipe("ecg_fm")
    prepare(raw_dataset, options(tmp_path / "f", recipe=recipe))
    prepare(raw_dataset, options(tmp_path / "i", recipe=recipe, dtype="int16"))
    exact, packed = Manifest.load(tmp_path / "f"), Manifest.load(tmp_path / "i")
    store = packed.meta["store"]
    assert (store["unit"], store["largest_error"]) == ("sd", 0.0005)
    assert (store["clipped_records"], store["clipped_values"]) == (0, 0)
    assert "clipped_values" not in exact.meta["store"]
    for name in exact.records:
        error = np.abs(exact.segment(name, 1) - packed.segment(name, 1)).max()
        assert error <= store["largest_error"] * 1.01


def test_values_beyond_int16_are_counted_and_never_wrapped(ptb_xl, tmp_path, capsys):
    spikes = np.zeros(5000, np.int16)
    spikes[[100, 3000]] = 900, -900  # 50 standard deviations of this lead
    ptb_xl.signals[4][6] = spikes
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    recipe = get_recipe("ecg_fm")
    prepare(raw_dataset, options(tmp_path / "f", recipe=recipe))
    assert "beyond" not in capsys.readouterr().err
    prepare(raw_dataset, options(tmp_path / "i", recipe=recipe, dtype="int16"))
    assert "2 values of 1 records are beyond +-32.767 sd" in capsys.readouterr().err
    packed = Manifest.load(tmp_path / "i")
    store = packed.meta["store"]
    assert (store["clipped_records"], store["clipped_values"]) == (1, 2)
    assert Manifest.load(tmp_path / "f").segment("4", 0)[6].max() == pytest.approx(50, rel=1e-3)
    assert packed.segment("4", 0)[6].max() == pytest.approx(32.767)
    assert packed.segment("4", 1)[6].min() == pytest.approx(-32.767)
    # Taken up from finished shards, the count is the same.
    prepare(raw_dataset, options(tmp_path / "i", recipe=recipe, dtype="int16"))
    assert Manifest.load(tmp_path / "i").meta["store"] == store


def test_published_percentile_rule_is_an_option(ptb_xl, tmp_path):
    raw_dataset = ptb_xl_dataset(ptb_xl.write())
    recipe = get_recipe("ecg_byte_10s")
    rule = {"recipe": recipe, "percentile_rule": "first-four-windows"}
    prepare(raw_dataset, options(tmp_path / "m", **rule))
    statistics = Manifest.load(tmp_path / "m").meta["statistics"]
    assert statistics["rule"] == "first-four-windows"
    assert statistics["num_values"] == 100_000


def test_statistics_see_training_records_only(ptb_xl, tmp_path):
    for number in (9, 10, 11, 12):
        ptb_xl.signals[number] = ptb_xl.signals[number] * 5
    prepare(ptb_xl_dataset(ptb_xl.write()), options(tmp_path / "m"))
    manifest = Manifest.load(tmp_path / "m")
    values = [
        manifest.segment(row.record_id, k)
        for row in manifest.split_records("train")
        for k in range(5)
    ]
    top = np.percentile(np.array(values, dtype=np.float64), 99)
    assert abs(manifest.meta["statistics"]["percentile_99"] - top) < 0.002


def test_estimate_writes_nothing(ptb_xl, tmp_path):
    found = estimate(ptb_xl_dataset(ptb_xl.write()), options(tmp_path / "m"))
    assert found["records"] == 12
    assert found["bytes"] == 12 * 5 * 6000 * 4
    assert not (tmp_path / "m").exists()


def test_full_disk_is_one_clear_error(ptb_xl, tmp_path, monkeypatch):
    def full(stream):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EcgError, match="No space left on device"):
        prepare(ptb_xl_dataset(ptb_xl.write()), options(tmp_path / "m"))
    monkeypatch.undo()
    assert not [path for path in (tmp_path / "m").rglob("*") if path.suffix in (".npy", ".json")]


def test_a_dead_worker_is_an_error_not_a_hang():
    with pytest.raises(EcgError, match="fewer --workers"):
        list(shard_jobs.run_tasks(os._exit, [3, 3, 3], 2))


def test_the_script_prints_json_last_and_explains_failures(ptb_xl, tmp_path, capsys):
    base = [str(ptb_xl.write()), "--recipe", "ecg_byte_beat", "--progress", "silent", "--out"]
    assert prepare_dataset("ptb_xl", [*base, str(tmp_path / "m")]) == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert set(json.loads(last)) == {"records", "skipped", "segments", "seconds"}
    for wrong in (["--recipe", "nix"], ["--fraction", "0"]):
        arguments = [*base, str(tmp_path / "n"), *wrong]
        assert prepare_dataset("ptb_xl", arguments) == 1
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit) as caught:
        prepare_dataset("ptb_xl", [*base, "x", "--shard", "3/3"])
    assert caught.value.code == 2


@pytest.mark.parametrize("value", ["nan", "inf", "0", "-0.5", "1.5"])
def test_a_share_of_patients_is_between_none_and_all(ptb_xl, tmp_path, capsys, value):
    words = [str(ptb_xl.write()), "--out", str(tmp_path / "m"), "--recipe", "ecg_byte"]
    assert prepare_dataset("ptb_xl", [*words, f"--fraction={value}"]) == 1
    assert f"--fraction {value}; expected a share above 0 and at most 1" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
