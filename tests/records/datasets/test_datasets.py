"""PTB-XL, ECG-QA and own data as cohorts: sides, labels, questions, and damaged inputs."""

import csv
import json

import numpy as np
import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.ecg_qa import QUESTION_TYPES, EcgQaChoice, ecg_qa_dataset
from ecg_fairseq.records.datasets.own_data import OwnData, own_dataset
from ecg_fairseq.records.datasets.ptb_xl import ptb_xl_dataset
from ecg_fairseq.records.datasets.ptb_xl_files import parse_scp_codes
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.preparation.questions_from_labels import label_question_maker
from ecg_fairseq.signal.recipes import get_recipe


def made(raw_dataset, out, **more) -> Manifest:
    recipe = get_recipe("ecg_byte_beat")
    prepare(raw_dataset, PrepareOptions(out, recipe, progress="silent", **more))
    return Manifest.load(out)


def test_a_patient_on_two_folds_moves_to_the_earlier_side(ptb_xl, tmp_path, capsys):
    ptb_xl.row(11)["patient_id"] = "101.0"
    manifest = made(ptb_xl_dataset(ptb_xl.write()), tmp_path / "m")
    assert manifest.record_row("11").split == "train"
    assert manifest.meta["records_move"] == 1
    assert "record 11: moved from test" in capsys.readouterr().err


def test_identical_signals_end_on_one_side(ptb_xl, tmp_path):
    ptb_xl.signals[12] = ptb_xl.signals[9]
    manifest = made(ptb_xl_dataset(ptb_xl.write()), tmp_path / "m")
    assert manifest.record_row("12").split == manifest.record_row("9").split == "valid"


def test_split_by_patient_and_fraction(ptb_xl, tmp_path):
    folder = ptb_xl.write()
    manifest = made(ptb_xl_dataset(folder, split="patient", seed=5), tmp_path / "m")
    assert manifest.meta["split"]["rule"] == "patient"
    assert all(count > 0 for count in manifest.meta["split"]["patients"].values())
    half = ptb_xl_dataset(folder, fraction=0.5, seed=1)
    assert 0 < len(half.sources) < 12
    with pytest.raises(ManifestError, match="--rate 250"):
        ptb_xl_dataset(folder, rate=250)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scp_codes": "{'NORM'"}, "scp_codes"),
        ({"scp_codes": "__import__('os')"}, "scp_codes"),
        ({"strat_fold": "11"}, "strat_fold"),
        ({"filename_hr": "../../etc/passwd"}, "below the dataset"),
        ({"patient_id": ""}, "must not be empty"),
    ],
)
def test_damaged_database_rows_are_named(ptb_xl, change, message):
    ptb_xl.row(3).update(change)
    with pytest.raises(ManifestError, match=message) as caught:
        ptb_xl_dataset(ptb_xl.write())
    assert "record 3" in str(caught.value)


def test_missing_tables_and_columns_are_named(ptb_xl, tmp_path):
    with pytest.raises(ManifestError, match="folder not found"):
        ptb_xl_dataset(tmp_path / "nowhere")
    folder = ptb_xl.write()
    (folder / "ptbxl_database.csv").write_text("ecg_id,patient_id\n1,2\n")
    with pytest.raises(ManifestError, match="no column scp_codes, strat_fold"):
        ptb_xl_dataset(folder)
    (folder / "scp_statements.csv").unlink()
    with pytest.raises(ManifestError, match="PTB-XL's own layout"):
        ptb_xl_dataset(folder)


def test_scp_codes_parse():
    assert parse_scp_codes("{'A': 15.0, 'B': 0}", "x") == {"A": 15.0, "B": 0.0}


def test_real_ptb_xl_counts_and_duplicates(shared_dir, tmp_path):
    raw_dataset = ptb_xl_dataset(
        shared_dir / "data/ptb-xl", rate=100, make_questions=label_question_maker()
    )
    manifest = made(raw_dataset, tmp_path / "m")
    assert manifest.meta["counts"]["records"] == 316
    assert manifest.meta["counts"]["skipped"] == 0
    sides = {name: row.split for name, row in manifest.records.items()}
    for first, second in ((137, 138), (143, 144), (145, 463), (456, 457), (459, 460)):
        assert sides[str(first)] == sides[str(second)]
    assert len(manifest.questions("test")) >= 50


def questions_of(manifest):
    return {split: manifest.questions(split) for split in ("train", "valid", "test")}


def test_ecg_qa_keeps_published_sides_and_drops_straddling_patients(
    ptb_xl, write_ecg_qa, entry, tmp_path
):
    ptb_xl.row(4)["patient_id"] = "101.0"
    folder = write_ecg_qa(
        {
            "train": [
                entry(0, [1]),
                entry(1, [9]),
                entry(2, [1, 9], question_type=QUESTION_TYPES[3]),
            ],
            "valid": [entry(0, [2])],
            "test": [entry(0, [3]), entry(1, [4])],
        }
    )
    choice = EcgQaChoice(question_types=QUESTION_TYPES)
    manifest = made(ecg_qa_dataset(folder, ptb_xl.write(), choice), tmp_path / "m")
    asked = questions_of(manifest)
    assert [question.id for question in asked["train"]] == [
        "ptbxl-train-template-0",
        "ptbxl-train-template-1",
        "ptbxl-train-template-2",
    ]
    assert asked["train"][2].patient_ids == ["101", "109"]
    assert [question.record_ids for question in asked["test"]] == [["3"]]
    assert not manifest.record_row("4").is_ok
    assert "on train" in manifest.record_row("4").reason
    assert manifest.meta["records_drop"] == 1
    assert manifest.meta["questions_dropped"] == {"recording not available or dropped": 1}


def test_ptb_xl_sides_keep_only_questions_on_their_own_side(ptb_xl, write_ecg_qa, entry, tmp_path):
    folder = write_ecg_qa(
        {
            "train": [entry(0, [1]), entry(1, [11]), entry(2, [1, 9])],
            "valid": [entry(0, [9]), entry(1, [2])],
            "test": [entry(0, [3]), entry(1, [12])],
        }
    )
    choice = EcgQaChoice(split="ptb-xl", label_splits=("test",))
    manifest = made(ecg_qa_dataset(folder, ptb_xl.write(), choice), tmp_path / "m")
    kept = {split: [q.id for q in found] for split, found in questions_of(manifest).items()}
    assert kept["train"] == ["ptbxl-train-template-0"]
    assert kept["valid"] == ["ptbxl-valid-template-0"]
    assert kept["test"][0] == "ptbxl-test-template-1"
    assert all(name.startswith("labels-") for name in kept["test"][1:])
    assert manifest.meta["counts"]["records"] == 12
    assert manifest.meta["questions_dropped"] == {
        "published for test, recording on train": 1,
        "published for train, recording on test": 1,
        "published for valid, recording on train": 1,
        "recordings on two sides": 1,
    }


def test_answers_and_options_are_canonical(ptb_xl, write_ecg_qa, entry, tmp_path):
    wanted = {"question_type": "single-choose", "template_id": 5}
    folder = write_ecg_qa(
        {
            "train": [
                entry(0, [1], answer=[]),
                entry(1, [1], template_id=2),
                entry(2, [1], **wanted, answer=["rbbb", "lbbb"], attribute=["rbbb", "lbbb"]),
                entry(3, [1], question_type="single-query", template_id=5, answer=["lbbb"]),
                entry(4, [1], question_type="single-query", template_id=99, answer=["x"]),
                entry(5, []),
                entry(6, [77]),
            ]
        }
    )
    manifest = made(ecg_qa_dataset(folder, ptb_xl.write(), EcgQaChoice()), tmp_path / "m")
    found = manifest.questions("train")
    assert [question.answer for question in found] == [
        ["none"],
        ["yes"],
        ["lbbb", "rbbb"],
        ["lbbb"],
        ["x"],
    ]
    assert [question.options for question in found] == [
        ["yes", "no", "not sure"],
        ["yes", "no"],
        ["rbbb", "lbbb"],
        ["none", "lbbb", "rbbb"],
        None,
    ]
    assert manifest.meta["questions_dropped"] == {
        "question without ECG": 1,
        "recording not available or dropped": 1,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("{}", "expected a list"),
        ("[3]", "entry 0"),
        ('[{"question_type": "single-verify", "ecg_id": [1]}]', "entry 0"),
    ],
)
def test_damaged_question_files_are_named(ptb_xl, write_ecg_qa, content, message):
    folder = write_ecg_qa({})
    (folder / "ecgqa/ptbxl/template/valid/00000.json").write_text(content)
    with pytest.raises(ManifestError, match=message) as caught:
        ecg_qa_dataset(folder, ptb_xl.write(), EcgQaChoice())
    assert "00000.json" in str(caught.value)


def test_ecg_qa_refuses_wrong_folders_and_types(ptb_xl, write_ecg_qa, entry, tmp_path):
    with pytest.raises(ManifestError, match="no ECG-QA questions"):
        ecg_qa_dataset(tmp_path, ptb_xl.write(), EcgQaChoice())
    folder = write_ecg_qa({"train": [entry(0, [500])]})
    with pytest.raises(ManifestError, match="none of the 1 recordings"):
        ecg_qa_dataset(folder, ptb_xl.folder, EcgQaChoice(split="ptb-xl"))
    with pytest.raises(ManifestError, match="question type single-guess"):
        ecg_qa_dataset(folder, ptb_xl.folder, EcgQaChoice(question_types=("single-guess",)))


def test_real_ecg_qa_files(shared_dir, tmp_path):
    data = shared_dir / "data"
    choice = EcgQaChoice(style="both", question_types=QUESTION_TYPES)
    raw_dataset = ecg_qa_dataset(data / "ecg-qa", data / "ptb-xl", choice, rate=100)
    manifest = made(raw_dataset, tmp_path / "m")
    counts = {split: len(found) for split, found in questions_of(manifest).items()}
    assert counts == {"train": 2 * 373, "valid": 2 * 29, "test": 2 * 15}
    assert manifest.meta["questions_dropped"] == {}


def array_of(ptb_xl, folder, count=12):
    signals = np.stack([ptb_xl.signals[n] / 1000.0 for n in range(1, count + 1)])
    np.save(folder / "ecgs.npy", signals.astype(np.float32))
    return folder / "ecgs.npy"


def table(path, rows):
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_own_array_with_labels_and_questions(ptb_xl, tmp_path):
    labels = [{"patient_id": f"p{i // 2}", "af": i % 2, "age": 40 + i} for i in range(12)]
    asked = [
        {"record_id": i, "question": "Is it, or not?", "answer": ["no", "yes; maybe"][i % 2]}
        for i in range(12)
    ]
    data = OwnData(
        array_of(ptb_xl, tmp_path),
        fs_hz=500.0,
        labels=table(tmp_path / "l.csv", labels),
        questions=table(tmp_path / "q.csv", asked),
    )
    manifest = made(own_dataset(data), tmp_path / "m")
    assert manifest.meta["split"]["patients"] == {"train": 4, "valid": 1, "test": 1}
    assert manifest.meta["patients"] == "column patient_id"
    assert manifest.record_row("5").labels == {"af": "1"}
    asked_of = questions_of(manifest)
    assert sum(map(len, asked_of.values())) == 12
    assert {tuple(q.answer) for q in asked_of["train"]} == {("no",), ("maybe", "yes")}


def test_own_split_column_and_unit(ptb_xl, tmp_path):
    path = array_of(ptb_xl, tmp_path)
    np.save(path, np.load(path) * 1000)
    sides = ["train"] * 8 + ["valid"] * 2 + ["test"] * 2
    rows = [{"record_id": f"ecg{i}", "split": side} for i, side in enumerate(sides)]
    labels = table(tmp_path / "l.csv", rows)
    data = {"path": path, "fs_hz": 500.0, "labels": labels, "split": "column"}
    manifest = made(own_dataset(OwnData(**data, unit="uV")), tmp_path / "m")
    assert manifest.record_row("ecg9").split == "valid"
    assert manifest.meta["statistics"]["percentile_99"] < 2
    with pytest.raises(ManifestError, match="--unit uV"):
        made(own_dataset(OwnData(**data)), tmp_path / "n")


def test_own_wfdb_folder(shared_dir, tmp_path):
    folder = shared_dir / "data/physionet-challenge-2021/training/georgia"
    manifest = made(own_dataset(OwnData(folder)), tmp_path / "m")
    assert manifest.meta["counts"]["records"] == 12
    assert manifest.meta["patients"] == "each record its own patient"
    assert all(name.startswith("g1/E") for name in manifest.records)


def test_own_data_mistakes_are_explained(ptb_xl, tmp_path):
    path = array_of(ptb_xl, tmp_path)
    labels = table(tmp_path / "l.csv", [{"af": 1}])
    (tmp_path / "empty").mkdir()
    (tmp_path / "ragged.csv").write_text("a,b\n1\n")
    flat = tmp_path / "flat.npy"
    np.save(flat, np.zeros((12, 5000)))
    for data, message in (
        (OwnData(tmp_path / "nix"), "not found"),
        (OwnData(tmp_path / "empty"), "no recording below"),
        (OwnData(path), "--fs 500"),
        (OwnData(path, leads="I,II", fs_hz=500.0), "expected \\(records, leads, samples\\)"),
        (OwnData(path, leads="I,Q", fs_hz=500.0), "unknown lead name"),
        (OwnData(flat, fs_hz=500.0), "has shape"),
        (OwnData(path, fs_hz=500.0, labels=labels), "1 lines"),
        (OwnData(path, fs_hz=500.0, labels=tmp_path / "ragged.csv"), "line 2"),
        (OwnData(path, fs_hz=500.0, labels=tmp_path / "no.csv"), "cannot be read"),
        (OwnData(path, fs_hz=500.0, split="column"), "column split"),
    ):
        with pytest.raises(ManifestError, match=message):
            own_dataset(data)
    asked = table(tmp_path / "q.csv", [{"record_id": "zz", "question": "?", "answer": "a"}])
    with pytest.raises(ManifestError, match="names a usable record"):
        made(own_dataset(OwnData(path, fs_hz=500.0, questions=asked)), tmp_path / "m")


def test_ids_with_json_in_labels_survive(ptb_xl, tmp_path):
    ptb_xl.row(1)["heart_axis"] = "LAD"
    for row in ptb_xl.rows[1:]:
        row["heart_axis"] = ""
    manifest = made(ptb_xl_dataset(ptb_xl.write()), tmp_path / "m")
    assert manifest.record_row("1").labels["heart_axis"] == "LAD"
    assert "heart_axis" not in json.loads(manifest.record_row("2").labels_json)
