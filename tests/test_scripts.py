"""The dispatchers scripts/bench.py and scripts/parity.py, and the timing that stages share."""

import argparse
import importlib
import json
import math
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SCRIPTS = PROJECT / "scripts"


@pytest.fixture(autouse=True)
def scripts_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


# ---- parity ------------------------------------------------------------------------------------


def pretend_system(monkeypatch: pytest.MonkeyPatch, *errors: float) -> ModuleType:
    """Register a system whose only module compares one tensor per given error (tolerance 1)."""
    parity, check = load("parity"), load("parity_systems.check")

    def checks(case_dir: Path) -> Iterator[object]:
        for number, error in enumerate(errors):
            yield check.Check(f"{case_dir.name}/tensor_{number}", error, 1.0)

    monkeypatch.setitem(sys.modules, "parity_systems.pretended", SimpleNamespace(checks=checks))
    monkeypatch.setitem(parity.SYSTEMS, "pretended", ("pretended",))
    return parity


@pytest.mark.parametrize(
    ("errors", "status", "last"),
    [((0.0, 1.0), 0, "2 ok, 0 FAIL"), ((0.5, 1.5), 1, "1 ok, 1 FAIL")],
)
def test_parity_counts_and_exit_status(
    errors: tuple[float, ...],
    status: int,
    last: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parity = pretend_system(monkeypatch, *errors)
    assert parity.main(["pretended", str(tmp_path)]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path.name}/tensor_0 {errors[0]:.6g} 1 ok"
    assert lines[1].endswith("ok" if status == 0 else "... FAIL")
    assert lines[-1] == last


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_parity_never_passes_nan_or_infinity(
    error: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pretend_system(monkeypatch, error).main(["pretended", str(tmp_path)]) == 1


def test_parity_that_finds_nothing_could_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parity = pretend_system(monkeypatch)
    assert parity.main(["pretended", str(tmp_path)]) == 2
    assert "holds no case" in capsys.readouterr().err


def test_parity_missing_folder_and_failing_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parity = pretend_system(monkeypatch, 0.0)
    assert parity.main(["pretended", str(tmp_path / "absent")]) == 2
    assert "no such folder" in capsys.readouterr().err
    # One folder that differs outweighs one that could not run.
    failing = pretend_system(monkeypatch, 9.0)
    assert failing.main(["pretended", str(tmp_path), str(tmp_path / "absent")]) == 1


@pytest.mark.parametrize(
    ("named", "present", "found"),
    [
        ("ecg_byte_t.pkl", ("ecg_byte_t.pkl",), True),
        ("/elsewhere/runs/ecg_byte_t.pkl", ("ecg_byte_t.pkl",), True),
        ("C:\\runs\\t.pkl", ("renamed.pkl",), True),
        ("ecg_byte_t.pkl", ("t_pairs.json",), True),
        ("ecg_byte_t.pkl", ("one.pkl", "two.pkl", "other_pairs.json"), False),
        ("ecg_byte_t.pkl", (), False),
    ],
)
def test_parity_finds_the_pickle_of_encodings_or_says_that_it_lacks_it(
    named: str,
    present: tuple[str, ...],
    found: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pairs = [[97, 98], [256, 97]]
    letters = {index: chr(index) if index < 128 else f"<{index}>" for index in range(256)}
    vocabulary = letters | {256: "ab", 257: "aba"}
    for name in present:
        if name.endswith(".pkl"):
            merges = [([97, 98], 256), ([97, 98, 97], 257)]
            (tmp_path / name).write_bytes(pickle.dumps((vocabulary, merges), protocol=4))
        else:
            (tmp_path / name).write_text(json.dumps(pairs))
    case = {"name": "short", "text": "abaab", "ids_with_first_n_merges": {"2": [257, 256]}}
    (tmp_path / "encode_with_t.json").write_text(json.dumps({"tokenizer": named, "cases": [case]}))
    status = load("parity").main(["ecg-byte", str(tmp_path)])
    out, err = capsys.readouterr()
    assert ("encode_with_t/short/first_2 0 0 ok" in out) == found, err
    assert ("ecg_byte_t.pkl nor a list of its pairs" in err) == (not found)
    assert status == (0 if found else 2)


def test_parity_usage() -> None:
    command = [sys.executable, str(SCRIPTS / "parity.py")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
    unknown = subprocess.run([*command, "nix", "."], capture_output=True, check=False)
    assert unknown.returncode == 2


def test_parity_names_the_systems_of_the_contract() -> None:
    wanted = {"ecg-byte", "ecg-fm", "heartllm", "dual-attention", "ecg-encoder"}
    assert set(load("parity_systems").SYSTEMS) == wanted


# ---- timing and bench --------------------------------------------------------------------------


def test_interleave_runs_each_in_turn() -> None:
    timing = load("benchmarks.timing")
    order: list[str] = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    timings = timing.interleave(calls, repeats=3, warm_up=1)
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert len(timings.wall_s["a"]) == len(timings.cpu_s["b"]) == 3


def test_ratio_is_how_many_times_faster() -> None:
    timing = load("benchmarks.timing")
    timings = timing.Timings(
        {"ours": [1.0, 3.0, 2.0], "peer": [8.0, 6.0, 7.0]}, {"ours": [1.0], "peer": [2.0]}
    )
    assert timings.ratio("ours", baseline="peer") == 3.5
    assert timings.ratio("peer", baseline="peer") == 1.0
    table = timings.to_dict(baseline="peer")
    assert [row["times_as_fast"] for row in table["timings"]] == [3.5, 1.0]
    assert json.loads(json.dumps(table)) == table


def test_wall_and_processor_time_are_told_apart() -> None:
    timing = load("benchmarks.timing")
    timings = timing.interleave({"sleeping": lambda: time.sleep(0.05)}, repeats=1, warm_up=0)
    assert timings.wall_s["sleeping"][0] >= 0.05
    assert timings.cpu_s["sleeping"][0] < 0.04


def test_interleave_refuses_nothing_to_time() -> None:
    with pytest.raises(ValueError, match="0 candidates"):
        load("benchmarks.timing").interleave({})


def test_versions_name_absent_packages() -> None:
    found = load("benchmarks.timing").versions(("numpy", "no-such-package"))
    assert found["numpy"]
    assert found["no-such-package"] is None


def pretend_stage(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    bench = load("bench")

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--rows", type=int, default=2)

    def run(arguments: argparse.Namespace) -> dict:
        rows = [{"name": f"peer {n}", "median_wall_s": n / 3} for n in range(arguments.rows)]
        return {
            "equal": True,
            "timings": rows,
            "versions": {"numpy": "2"},
            "all_wall_s": {"a": [1]},
        }

    stage = SimpleNamespace(add_arguments=add_arguments, run=run)
    monkeypatch.setitem(sys.modules, "benchmarks.loader", stage)
    return bench


def test_bench_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretend_stage(monkeypatch).main(["loader"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["equal: true", "timings:"]
    assert lines[2].split() == ["name", "median_wall_s"]
    assert lines[4].split() == ["peer", "1", "0.3333"]
    assert lines[5] == "versions: numpy 2"


def test_bench_json_and_stage_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pretend_stage(monkeypatch).main(["loader", "--json", "--rows", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["timings"]) == 1
    assert "all_wall_s" in result


def test_bench_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    for argv in ([], ["no-such-stage"], ["loader", "--no-such-option"]):
        with pytest.raises(SystemExit) as leaving:
            pretend_stage(monkeypatch).main(argv)
        assert leaving.value.code == 2
