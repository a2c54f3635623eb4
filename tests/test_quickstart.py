"""The quickstart's smoke form, from recordings to report, on simulated and on real recordings."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

KEYS = {
    "exact_match",
    "majority_exact_match",
    "blind_exact_match",
    "n_test",
    "per_question_type",
    "bleu_1",
    "bleu_2",
    "bleu_3",
    "bleu_4",
    "rouge_l",
    "seconds",
    "peak_rss_mb",
    "versions",
    "data_sha256",
    "prepared_sha256",
    "seed",
}
PREDICTION_KEYS = {
    "id",
    "question",
    "question_type",
    "template_id",
    "answer",
    "reference",
    "record_ids",
    "patient_ids",
}


def _quickstart(project: Path, *arguments: object) -> subprocess.CompletedProcess:
    script = project / "scripts" / "quickstart.py"
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)], capture_output=True, text=True
    )


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _check_output(out: Path) -> dict:
    """Check the contract's files and recompute the exact match from the predictions."""
    for name in ("manifest/meta.json", "tokenizer.json", "checkpoints/checkpoint_best.pt"):
        assert (out / name).exists(), name
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert set(results) >= KEYS
    predictions = _lines(out / "predictions.jsonl")
    blind = _lines(out / "blind_predictions.jsonl")
    assert all(set(line) >= PREDICTION_KEYS for line in predictions + blind)
    assert len(predictions) == results["n_test"]
    right = sum(line["answer"].lower() == line["reference"].lower() for line in predictions)
    assert results["exact_match"] == pytest.approx(right / len(predictions), abs=0.02)
    own = {line["id"]: set(line["patient_ids"]) for line in predictions}
    assert all(not own[line["id"]] & set(line["patient_ids"]) for line in blind)
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "Smoke run" in report
    assert not re.search(r'(src|href)="(?!data:|#)', report), "the report must be self-contained"
    return results


@pytest.mark.slow
def test_simulated_smoke_run_and_its_repetition(project_dir, tmp_path):
    out = tmp_path / "out"
    first = _quickstart(project_dir, "--smoke", "--out", out, "--seed", 3)
    assert first.returncode == 0, first.stderr[-3000:]
    assert first.stdout.split() == [str(out / "report.html"), str(out / "results.json")]
    assert _check_output(out)["seed"] == 3

    other = _quickstart(project_dir, "--smoke", "--out", out, "--seed", 4)
    assert other.returncode == 1
    assert "other settings" in other.stderr


@pytest.mark.slow
def test_real_recordings(project_dir, shared_dir, tmp_path):
    out = tmp_path / "out"
    data = shared_dir / "data"
    run = _quickstart(
        project_dir, "--smoke", "--out", out, "--ptb-xl", data / "ptb-xl", "--ecg-qa",
        data / "ecg-qa",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert _check_output(out)["n_test"] >= 50
    rows = (out / "manifest/records.tsv").read_text(encoding="utf-8").splitlines()[1:]
    sides: dict[str, set[str]] = {}
    for row in rows:
        _, patient, side = row.split("\t")[:3]
        sides.setdefault(patient, set()).add(side)
    assert len(rows) == 316
    assert all(len(found) == 1 for found in sides.values())
    origins = {line["origin"] for line in _lines(out / "manifest/train.jsonl")}
    assert origins == {"ecg_qa", "labels"}
    assert {line["origin"] for line in _lines(out / "manifest/test.jsonl")} == {"labels"}


def test_bad_arguments_are_explained(project_dir, tmp_path):
    questions_only = _quickstart(project_dir, "--ecg-qa", tmp_path)
    assert questions_only.returncode == 2
    missing = _quickstart(project_dir, "--ptb-xl", tmp_path / "nowhere", "--out", tmp_path / "o")
    assert missing.returncode == 1
    assert "folder not found" in missing.stderr
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("mine")
    foreign = _quickstart(project_dir, "--smoke", "--out", tmp_path / "used")
    assert foreign.returncode == 1
    assert "not a quickstart's" in foreign.stderr
