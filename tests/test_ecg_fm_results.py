"""scripts/ecg_fm_results.py: its small form as a whole, and what its table rests on."""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ecg_fm_manifest import make_ecg_fm_manifest

from ecg_fairseq.errors import EcgError
from ecg_fairseq.evaluation.labels.predictions import LabelPredictions, write_label_predictions
from ecg_fairseq.records.labels.label_files import read_label_files
from ecg_fairseq.records.manifest.folder import Manifest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(autouse=True)
def scripts_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def stage(name: str) -> ModuleType:
    return importlib.import_module(f"ecg_fm_stages.{name}")


def graph_module() -> ModuleType:
    return importlib.import_module("steps.graph")


# ---- the graph of steps --------------------------------------------------------------------------


def count_step(out: Path, name: str, needs: tuple[str, ...] = (), inputs: tuple[Path, ...] = ()):
    """A step that writes a line more each time it runs."""
    program = f"open({str(out / 'count' / name)!r}, 'a').write('x')"
    program += f"; open({str(out / name)!r}, 'w').write('done')"
    command = (sys.executable, "-c", program)
    return graph_module().Step(name, command, out / name, needs, inputs)


def runs(out: Path, name: str) -> int:
    return len((out / "count" / name).read_text())


def test_steps_run_once_and_again_when_their_inputs_change(tmp_path: Path) -> None:
    out, settings = tmp_path / "out", tmp_path / "settings.yaml"
    (out / "count").mkdir(parents=True)
    settings.write_text("lr: 1")

    def run() -> None:
        steps = [
            count_step(out, "data"),
            count_step(out, "train", ("data",), (settings,)),
            count_step(out, "score", ("train",)),
        ]
        graph = graph_module().StepGraph(out, jobs=2)
        graph.run(steps)
        assert set(graph.seconds) == {"data", "train", "score"}

    run()
    run()
    assert [runs(out, name) for name in ("data", "train", "score")] == [1, 1, 1]
    settings.write_text("lr: 2")
    run()
    assert [runs(out, name) for name in ("data", "train", "score")] == [1, 2, 2]
    (out / "score").unlink()
    run()
    assert [runs(out, name) for name in ("data", "train", "score")] == [1, 2, 3]


def test_a_failed_step_is_told_and_not_taken_for_done(tmp_path: Path) -> None:
    graph = graph_module()
    bad = graph.Step("bad", (sys.executable, "-c", "print('no room'); raise SystemExit(3)"))
    after = count_step(tmp_path, "after", ("bad",))
    for _ in range(2):
        with pytest.raises(EcgError, match=r"bad failed with status 3(.|\n)*no room"):
            graph.StepGraph(tmp_path, 2).run([bad, after])
    silent = graph.Step("silent", (sys.executable, "-c", ""), tmp_path / "nothing")
    with pytest.raises(EcgError, match="is not there"):
        graph.StepGraph(tmp_path, 2).run([silent])
    missing = graph.Step("missing", ("true",), inputs=(tmp_path / "absent.yaml",))
    with pytest.raises(EcgError, match=r"absent\.yaml"):
        graph.StepGraph(tmp_path, 2).run([missing])


def plan_of(tmp_path: Path, *words: str):
    parser = importlib.import_module("ecg_fm_results").build_parser()
    return stage("plan").make_plan(parser.parse_args(["--out", str(tmp_path / "out"), *words]))


def test_a_full_run_takes_the_shipped_settings(tmp_path: Path) -> None:
    checkpoint = tmp_path / "other.pt"
    checkpoint.write_bytes(b"weights")
    plan = plan_of(tmp_path, "--pretrained", str(checkpoint))
    steps = list(plan.steps())
    names = [step.name for step in steps]
    assert all(set(step.needs) <= set(names[:place]) for place, step in enumerate(steps))
    trainings = [step for step in steps if "--config-name" in step.command]
    assert len(trainings) == 1 + 3 * 2 + 1
    kept = (
        "task.",
        "common.seed",
        "checkpoint.save_dir",
        "model.model_path",
        "model.no_pretrained",
    )
    for step in trainings:
        assert all(word.startswith(kept) for word in step.command[3:]), step.command
        assert any(path.suffix == ".yaml" for path in step.inputs)
    assert plan.size.identified[2] >= 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--ptb-xl", "nowhere"), "no ptbxl_database.csv"),
        (("--pretrained", "nowhere.pt"), "checkpoint not found"),
    ],
)
def test_bad_arguments_are_explained(tmp_path: Path, words: tuple[str, str], message: str) -> None:
    with pytest.raises(EcgError, match=message):
        plan_of(tmp_path, *words)
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(EcgError, match="no run of this script"):
        plan_of(tmp_path)


# ---- data ----------------------------------------------------------------------------------------


def test_few_labels_are_of_some_training_patients_and_of_all_others(tmp_path: Path) -> None:
    folder = make_ecg_fm_manifest(tmp_path)
    rows = list(Manifest.load(folder).records.values())
    labelled: dict[float, set[str]] = {}
    for fraction in (0.25, 0.5):
        out = tmp_path / f"labels_{fraction}"
        out.mkdir()
        options = argparse.Namespace(manifest=folder, fraction=fraction, seed=1, out=out)
        stage("draw_labels").run(options)
        _, values = read_label_files(out)
        known = ~np.isnan(values).any(axis=1)
        train = [row.patient_id for row, has in zip(rows, known, strict=True) if has]
        assert all(has for row, has in zip(rows, known, strict=True) if row.split != "train")
        sides = {row.patient_id: row.split for row in rows}
        labelled[fraction] = {name for name in train if sides[name] == "train"}
        assert len(labelled[fraction]) == 12 * fraction
        assert all(train.count(name) == 2 for name in labelled[fraction])
    assert labelled[0.25] < labelled[0.5]


def test_people_differ_in_anatomy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    people = stage("patients")
    seen = []

    def simulate(findings, anatomy, nuisance, fs_hz, random):
        seen.append((findings, anatomy, nuisance))
        return argparse.Namespace(signal=np.zeros((12, 5000), np.float32))

    monkeypatch.setattr(people, "simulate_recording", simulate)
    for person in range(30):
        for visit in range(2):
            people.recording_of(person, visit, seed=1)
    assert all(findings.is_normal for findings, _, _ in seen)
    assert len({findings.rate_class for findings, _, _ in seen}) == 3
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        assert np.array_equal(first[1].lead_field, second[1].lead_field)
        assert first[2] != second[2]
    fields = {anatomy.lead_field.tobytes() for _, anatomy, _ in seen}
    assert len(fields) == 30
    # The same rate at both visits no more often than by chance (0.27, 0.43, 0.30 of the visits).
    rates = [findings.rate_class for findings, _, _ in seen]
    same = np.mean([a == b for a, b in zip(rates[::2], rates[1::2], strict=True)])
    assert same < 0.7


def test_typical_beats_find_people_whom_signals_do_not() -> None:
    people, identify = stage("patients"), stage("identify")
    visits = [
        np.stack([people.recording_of(person, visit, 1)[:, :2500] for person in range(12)])
        for visit in range(2)
    ]
    numbers = np.arange(12)
    typical = [np.stack([identify.beat_of(one, 500.0, (0.06, 0.10)) for one in s]) for s in visits]
    raw = [side.reshape(12, -1) for side in visits]
    by_beat, by_signal = (identify.accuracy(*pair, numbers, numbers) for pair in (typical, raw))
    assert by_beat["accuracy"] > 0.5 > by_signal["accuracy"]
    for row in (by_beat, by_signal):
        assert row["low"] <= row["accuracy"] <= row["high"]


# ---- the table -----------------------------------------------------------------------------------


def made_up_system(folder: Path, start: str, is_probe: bool, skill: float, labels: int = 2):
    """Predictions of 80 recordings, the better the higher ``skill``."""
    plan = stage("plan")
    random = np.random.default_rng(5)
    truth = random.integers(0, 2, (80, labels)).astype(float)
    logits = skill * (truth - 0.5) + random.normal(size=truth.shape)
    path = folder / f"{start}_{is_probe}.tsv"
    ids = [f"r{row}" for row in range(80)]
    patients = [f"p{row // 2}" for row in range(80)]
    names = [f"label {k}" for k in range(labels)]
    predictions = LabelPredictions.from_logits(ids, patients, names, logits, truth)
    write_label_predictions(path, predictions)
    return stage("label_systems").read_system(plan.SystemFiles(start, is_probe, 10, (path,)))


def three_systems(folder: Path, floor: float, probe: float, whole: float) -> list:
    plan = stage("plan")
    return [
        made_up_system(folder, plan.RANDOM, True, floor),
        made_up_system(folder, plan.PRETRAINED, True, probe),
        made_up_system(folder, plan.PRETRAINED, False, whole),
    ]


def test_the_gap_is_what_its_parts_say(tmp_path: Path) -> None:
    gap = stage("label_systems").gap_closed(three_systems(tmp_path, 0.3, 1.5, 2.0))["first_draw"]
    floor, probe, whole = (
        gap[name] for name in ("random_probe", "pretrained_probe", "pretrained_finetuned")
    )
    assert floor < probe < whole
    assert gap["share"] == pytest.approx((probe - floor) / (whole - floor))
    assert gap["low"] < gap["share"] < gap["high"]
    assert gap["labels"] == 2


def test_there_is_no_share_of_a_gap_that_is_not_there(tmp_path: Path) -> None:
    systems = stage("label_systems")
    found = three_systems(tmp_path, 2.0, 1.0, 0.3)
    gap = systems.gap_closed(found)["all_draws"]
    assert (gap["share"], gap["low"], gap["high"]) == (None, None, None)
    rows = systems.differences(found)
    assert [row["name"] for row in rows] == [
        "linear probe, pretrained encoder less linear probe, random encoder",
        "pretrained + finetuned less linear probe, pretrained encoder",
    ]
    assert rows[0]["macro"]["auroc"] < 0


# ---- the whole -----------------------------------------------------------------------------------


def driver(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPTS / "ecg_fm_results.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_small_run_and_its_repetition(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = driver("--small", "--out", out, "--seed", 2)
    assert first.returncode == 0, first.stderr[-3000:]
    written = [out / name for name in ("table.md", "results.json", "curves.png")]
    assert first.stdout.split() == [str(path) for path in written]
    results = json.loads(written[1].read_text(encoding="utf-8"))
    assert {(row["system"], row["percent"]) for row in results["rows"]} == {
        *((name, p) for name in ("pretrained + finetuned", "trained from scratch")
          for p in (100, 10)),
        *((f"linear probe, {encoder} encoder", p) for encoder in ("pretrained", "random")
          for p in (100, 10, 1)),
    }  # fmt: skip
    whole = [row for row in results["rows"] if row["percent"] == 100]
    assert all(0 <= row["macro"]["auroc"] <= 1 for row in whole)
    assert [row["system"] for row in results["identification"]["rows"]] == [
        "signal", "typical beat", "typical QRS", "random encoder", "pretrained encoder",
        "pretrained + finetuned",
    ]  # fmt: skip
    assert results["saliency"]["label"] == "AMI"
    assert set(results["seconds"]) >= {"pretrain", "finetune_scratch_10", "identification"}
    text = written[0].read_text(encoding="utf-8")
    for words in ("Small run", "Gap closed", "Identification", "Saliency", "Pretraining"):
        assert words in text
    again = driver("--small", "--out", out, "--seed", 2)
    assert again.returncode == 0, again.stderr[-3000:]
    assert again.stderr.count("done already") == len(results["seconds"])
    assert json.loads(written[1].read_text(encoding="utf-8"))["rows"] == results["rows"]


@pytest.mark.slow
def test_real_recordings(shared_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = driver("--small", "--out", out, "--ptb-xl", shared_dir / "data" / "ptb-xl")
    assert run.returncode == 0, run.stderr[-3000:]
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["data"]["label_set"] == "superclass"
    assert results["data"]["records"] == 316
    assert results["identification"] is None
    assert results["saliency"] is None
    assert {row["label"] for row in results["rows"][0]["labels"]} == {
        "NORM", "MI", "STTC", "CD", "HYP",
    }  # fmt: skip
