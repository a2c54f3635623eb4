"""HeartLLM's files: counts of the real excerpts, both splits, backgrounds, and damaged files."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.heartllm import (
    REPORT_QUESTION,
    HeartLlmChoice,
    heartllm_dataset,
    heartllm_mimic_dataset,
    read_heartllm,
)
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.leakage import find_leaks
from ecg_fairseq.records.manifest.prevalence import label_prevalence
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.record_row import SPLITS
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts import layout_writer
from ecg_fairseq.records.simulated.layouts.heartllm import write_layout
from ecg_fairseq.signal.recipes import get_recipe

SETTINGS = CohortSettings(patients=40, seed=3)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heartllm")
    write_layout(folder, SETTINGS)
    return folder


def made(folder: Path, ptb_xl: Path, out: Path, rate: int = 500, **choice) -> Manifest:
    raw_dataset = heartllm_dataset(folder, ptb_xl, HeartLlmChoice(**choice), rate)
    recipe = get_recipe("heartllm" if rate == 500 else "ecg_byte_beat")
    prepare(raw_dataset, PrepareOptions(out, recipe, progress="silent"))
    return Manifest.load(out)


def asked(manifest: Manifest) -> dict[str, int]:
    return {split: len(manifest.questions(split)) for split in SPLITS}


# data/heartllm/SOURCE.md: 173 / 29 / 52 reports and 0 / 3 / 3 questions.
@pytest.mark.parametrize(
    ("task", "wanted"),
    [("report", (173, 29, 52)), ("qa", (0, 3, 3)), ("both", (173, 29, 54))],
)
def test_real_counts(shared_dir, tmp_path, capsys, task, wanted):
    data = shared_dir / "data"
    manifest = made(data / "heartllm", data / "ptb-xl", tmp_path / "m", task=task)
    assert tuple(asked(manifest).values()) == wanted
    assert manifest.meta["counts"]["skipped"] == 0
    dropped = sum(manifest.meta["questions_dropped"].values())
    assert sum(wanted) + dropped == {"report": 254, "qa": 6, "both": 260}[task]
    assert ("4 of 260 questions" in capsys.readouterr().err) == (task == "both")
    for split in SPLITS:
        for question in manifest.questions(split):
            row = manifest.record_row(question.record_ids[0])
            assert (row.split, [row.patient_id]) == (split, question.patient_ids)
            assert row.labels["background"].startswith("Patient Information: - Patient ID: ")


def test_reports_are_answers(shared_dir, tmp_path):
    data = shared_dir / "data"
    manifest = made(data / "heartllm", data / "ptb-xl", tmp_path / "m", task="report")
    first = manifest.questions("train")[0]
    assert first.to_dict() == {
        "id": "heartllm-report-train-2",
        "question": REPORT_QUESTION,
        "answer": ["sinus bradycardia otherwise normal ecg"],
        "question_type": "report",
        "template_id": 0,
        "attribute_type": None,
        "style": "template",
        "attribute": None,
        "record_ids": ["2"],
        "patient_ids": ["13243"],
        "options": None,
        "origin": "reports",
    }
    # The English text in place of PTB-XL's German one.
    assert manifest.record_row("2").report == "sinus bradycardia otherwise normal ecg"
    assert manifest.record_row("2").split == "train"


def test_ptb_xls_folds_win_on_request(shared_dir, tmp_path):
    data = shared_dir / "data"
    manifest = made(data / "heartllm", data / "ptb-xl", tmp_path / "m", split="ptb-xl")
    assert tuple(asked(manifest).values()) == (119, 1, 9)
    dropped = manifest.meta["questions_dropped"]
    assert dropped["published for train, recording on test"] == 26
    assert 119 + 1 + 9 + sum(dropped.values()) == 260
    folds = Manifest.load(tmp_path / "m").records
    assert {row.split for row in folds.values()} == set(SPLITS)


@pytest.mark.parametrize("task", ["qa", "report"])
def test_the_simulated_layout(layout, tmp_path, task):
    manifest = made(layout, layout / "ptb-xl", tmp_path / "m", task=task, rate=100)
    files = "ecgqa/ptbxl/template_{}_background" if task == "qa" else "report/ptbxl/{}"
    for split in SPLITS:
        entries = json.loads((layout / "dataset" / f"{files.format(split)}.json").read_text())
        assert len(manifest.questions(split)) == len(entries) > 0
    assert manifest.meta["questions_dropped"] == {}
    assert find_leaks([manifest]) == []
    assert "background" not in label_prevalence(manifest)
    if task == "qa":
        kinds = {question.question_type for question in manifest.questions("train")}
        assert kinds == {"single-verify", "single-choose", "single-query"}
        for question in manifest.questions("train"):
            if question.question_type != "single-query":
                assert set(question.answer) <= {*question.options, "none"}


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_layout(layout, tmp_path):
    write_layout(tmp_path / "two", SETTINGS, workers=2)
    for path in layout.rglob("*"):
        if path.is_file():
            assert (tmp_path / "two" / path.relative_to(layout)).read_bytes() == path.read_bytes()


def test_the_script(layout, tmp_path, project_dir):
    command = [sys.executable, str(project_dir / "manifests/heartllm.py"), str(layout)]
    command += ["--ptb-xl", str(layout / "ptb-xl"), "--task", "qa", "--recipe", "heartllm"]
    command += ["--out", str(tmp_path / "m"), "--label-set", "rhythm", "--split", "ptb-xl"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["skipped"] == 0
    assert (tmp_path / "m/labels/y.npy").is_file()


# Files that are not as they should be ------------------------------------------------------------


QUESTION = {
    "template_id": 5,
    "sample_id": 7,
    "question_type": "single-choose",
    "attribute_type": "numeric_feature",
    "question": "Which of the two?",
    "answer": ["above the normal range"],
    "ecg_id": [1],
    "attribute": [
        "above the normal range of qt interval",
        "within the normal range of qt interval",
    ],
    "background": " b ",
}
REPORT = {"patient_id": 1.0, "ecg_id": 1, "report": "sinus rhythm", "background": ""}


def files(
    folder: Path, questions: object = (), reports: object = (), version: str = "ptbxl"
) -> Path:
    """Write all files, those of the training side with content."""
    for split in SPLITS:
        for name, content in (
            (f"ecgqa/{version}/template_{split}_background.json", questions),
            (f"report/{version}/{split}.json", reports),
        ):
            path = folder / "dataset" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content if split == "train" else []))
    return folder


def test_answers_and_options(tmp_path):
    pair = {**QUESTION, "question_type": "comparison_consecutive-verify", "ecg_id": [1, 2]}
    verify = {**QUESTION, "question_type": "single-verify", "template_id": 1, "answer": []}
    query = {**QUESTION, "question_type": "single-query", "sample_id": 9, "attribute": None}
    reports = [REPORT, {**REPORT, "ecg_id": 3, "report": " "}]
    found = read_heartllm(files(tmp_path, [QUESTION, pair, verify, query], reports))
    questions = [question for _, question in found.questions]
    assert questions[0].options == ["above the normal range", "within the normal range"]
    assert (questions[1].options, questions[1].answer) == (["yes", "no", "not sure"], ["none"])
    assert questions[2].options is None
    assert questions[3].answer == ["sinus rhythm"]
    assert found.dropped == {"question type of two recordings": 1, "empty report": 1}
    assert found.backgrounds == {"1": "b"}


def test_mimic_iv_ecg(tmp_path):
    layout_writer("mimic_iv_ecg")(tmp_path / "mimic", CohortSettings(3, seed=3), 1)
    with open(tmp_path / "mimic/record_list.csv", newline="") as stream:
        studies = [row["study_id"] for row in csv.DictReader(stream)]
    question = {**QUESTION, "ecg_id": [int(studies[0])]}
    reports = [{**REPORT, "ecg_id": int(name), "report": "A.B.."} for name in studies[:2]]
    folder = files(tmp_path / "h", [question], reports, "mimic-iv-ecg")
    raw_dataset = heartllm_mimic_dataset(folder, tmp_path / "mimic", HeartLlmChoice())
    assert [(source.record_id, source.split) for source in raw_dataset.sources] == [
        (studies[0], "train"),
        (studies[1], "train"),
    ]
    prepare(raw_dataset, PrepareOptions(tmp_path / "m", get_recipe("heartllm"), progress="silent"))
    manifest = Manifest.load(tmp_path / "m")
    assert manifest.meta["dataset"] == "heartllm_mimic_iv_ecg"
    assert [question.answer for question in manifest.questions("train")] == [
        ["above the normal range"],
        ["A.B.."],
        ["A.B.."],
    ]
    with pytest.raises(ManifestError, match="no published folds"):
        heartllm_mimic_dataset(folder, tmp_path / "mimic", HeartLlmChoice(split="ptb-xl"))


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([{**QUESTION, "answer": "yes"}], "entry 0: .*'yes' is not a list"),
        ([{**QUESTION, "ecg_id": ["x"]}], "entry 0: "),
        ([{**QUESTION, "question": " "}], "the text is empty"),
        ([QUESTION, 5], "entry 1: expected an object"),
        ({"a": 1}, "expected a list"),
        ([], "no question for --task both"),
    ],
)
def test_damaged_questions(tmp_path, questions, message):
    with pytest.raises(ManifestError, match=message):
        read_heartllm(files(tmp_path, questions))


def test_damaged_reports_and_folders(tmp_path, shared_dir):
    with pytest.raises(ManifestError, match=r"train\.json entry 0"):
        read_heartllm(files(tmp_path, [], [{"ecg_id": 1}]))
    (tmp_path / "dataset/report/ptbxl/valid.json").unlink()
    files(tmp_path, [QUESTION], [REPORT])
    (tmp_path / "dataset/report/ptbxl/valid.json").unlink()
    with pytest.raises(ManifestError, match="HeartLLM file not found"):
        read_heartllm(tmp_path)
    assert read_heartllm(tmp_path, "qa").questions
    files(tmp_path, [{**QUESTION, "ecg_id": [99999]}])
    with pytest.raises(ManifestError, match="none of the 1 recordings"):
        heartllm_dataset(tmp_path, shared_dir / "data/ptb-xl", HeartLlmChoice())
    with pytest.raises(ManifestError, match="--task 'x'"):
        heartllm_dataset(tmp_path, shared_dir / "data/ptb-xl", HeartLlmChoice(task="x"))
