"""Each kind of leak is planted and must be found; a sound manifest has none."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import write_json
from ecg_fairseq.records.datasets.ecg_qa import EcgQaChoice, ecg_qa_dataset
from ecg_fairseq.records.datasets.ptb_xl import ptb_xl_dataset
from ecg_fairseq.records.datasets.ptb_xl_labels import ptb_xl_label_set
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.leakage import find_leaks
from ecg_fairseq.records.manifest.prevalence import label_prevalence, label_set_prevalence
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.signal.recipes import get_recipe


@pytest.fixture
def options(tmp_path):
    def make(name: str) -> PrepareOptions:
        return PrepareOptions(tmp_path / name, get_recipe("ecg_byte_beat"), progress="silent")

    return make


@pytest.fixture
def sound(ptb_xl, write_ecg_qa, entry, options):
    """A manifest with a question on every side."""
    folder = write_ecg_qa(
        {"train": [entry(0, [1])], "valid": [entry(0, [9])], "test": [entry(0, [12])]}
    )
    choice = EcgQaChoice(split="ptb-xl", label_splits=("train",))
    prepare(ecg_qa_dataset(folder, ptb_xl.write(), choice), options("sound"))
    return options("sound").out


def change_side(folder, record_id, side):
    path = folder / "records.tsv"
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        cells = line.split("\t")
        if cells[0] == record_id:
            cells[2] = side
            lines[number] = "\t".join(cells)
    path.write_text("\n".join(lines) + "\n")


def leaks(*folders):
    return find_leaks([Manifest.load(folder) for folder in folders])


def test_a_sound_manifest_has_no_leak(sound, capsys):
    assert leaks(sound) == []
    assert main(["inspect", str(sound)]) == 0
    out = capsys.readouterr().out
    assert "leakage check: nothing found" in out
    assert "NORM" in out


def test_a_moved_record_breaks_the_split_hash_and_the_lists(sound):
    change_side(sound, "2", "test")
    found = "\n".join(leaks(sound))
    assert "split hash" in found
    assert "train.tsv lists 1 segment" in found


def test_a_patient_on_two_sides(sound):
    text = (sound / "records.tsv").read_text()
    (sound / "records.tsv").write_text(text.replace("\t112\t", "\t101\t"))
    assert any("1 patient (101) on more than one side" in leak for leak in leaks(sound))


def test_identical_signals_on_two_sides(ptb_xl, options, sound, capsys):
    ptb_xl.signals[12] = ptb_xl.signals[2]
    ptb_xl.write()
    prepare(ptb_xl_dataset(ptb_xl.folder), options("twins"))
    folder = options("twins").out
    assert leaks(folder) == []
    change_side(folder, "12", "test")
    assert any("identical signals" in leak and "2 (train) = 12" in leak for leak in leaks(folder))
    assert main(["inspect", str(folder)]) == 1
    assert "LEAK" in capsys.readouterr().out


def test_a_question_about_another_side(sound):
    line = (sound / "test.jsonl").read_text().splitlines()[0]
    question = {**json.loads(line), "id": "stray", "origin": "own"}
    with open(sound / "train.jsonl", "a") as stream:
        stream.write(json.dumps(question) + "\n")
    assert any("train.jsonl asks about recordings" in leak for leak in leaks(sound))


def test_a_published_test_question_in_training(sound):
    line = (sound / "train.jsonl").read_text().splitlines()[0]
    question = {**json.loads(line), "id": "ptbxl-test-template-0"}
    (sound / "train.jsonl").write_text(json.dumps(question) + "\n")
    assert any("published for another" in leak for leak in leaks(sound))


def test_ecg_qa_training_on_a_ptb_xl_test_fold(ptb_xl, write_ecg_qa, entry, options):
    """Two stages of one result: a language model on ECG-QA's split, an encoder on the folds."""
    prepare(ptb_xl_dataset(ptb_xl.write()), options("folds"))
    folder = write_ecg_qa({"train": [entry(0, [12])], "test": [entry(0, [9])]})
    prepare(ecg_qa_dataset(folder, ptb_xl.folder, EcgQaChoice()), options("qa"))
    found = "\n".join(leaks(options("folds").out, options("qa").out))
    assert "1 patient (112) on side test" in found
    assert "1 patient (109) on side valid" in found
    assert "identical signals" in found


def test_the_same_split_twice_is_no_leak(sound, ptb_xl, options, capsys):
    prepare(ptb_xl_dataset(ptb_xl.folder), options("folds"))
    assert leaks(sound, options("folds").out) == []
    assert main(["inspect", str(sound), str(options("folds").out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["leaks"] == []
    assert report["manifests"][0]["split_hash"] == report["manifests"][1]["split_hash"]


def test_flat_signals_are_no_evidence(ptb_xl, options):
    for number in (2, 12):
        ptb_xl.signals[number] = ptb_xl.signals[number] * 0
    accepting = replace(options("flat"), accept_amplitude=True)
    prepare(ptb_xl_dataset(ptb_xl.write()), accepting)
    assert leaks(options("flat").out) == []


def test_prevalence_counts_records_once(sound):
    found = label_prevalence(Manifest.load(sound))
    assert found["superclass"]["NORM"] == {"train": 6, "valid": 1, "test": 1}
    assert found["scp_codes"]["IMI"] == {"train": 2, "valid": 1, "test": 1}


def test_inspect_shows_the_label_set_and_tidy_texts(ptb_xl, options, capsys):
    for number, noise in ((1, " , I-III,AVL,  "), (2, "I-III, AVL"), (3, "  alles ")):
        ptb_xl.row(number)["static_noise"] = noise
    for row in ptb_xl.rows:
        row.setdefault("static_noise", "")
    folder = ptb_xl.write()
    cohort = ptb_xl_dataset(folder, label_set=ptb_xl_label_set(folder, "rhythm"))
    prepare(cohort, replace(options("m"), dtype="int16"))
    assert main(["inspect", str(options("m").out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["manifests"][0]
    assert report["label_set"] == {
        "set": "rhythm",
        "labelled": {"train": 6, "valid": 1, "test": 1},
        "positives": {"SR": {"train": 6, "valid": 1, "test": 1}},
    }
    assert report["labels"]["static_noise"] == {
        "I-III, AVL": {"train": 2, "valid": 0, "test": 0},
        "alles": {"train": 1, "valid": 0, "test": 0},
    }
    assert main(["inspect", str(options("m").out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = lines.index("  label set rhythm (labels/y.npy):")
    assert lines[place + 1].split() == ["(records", "with", "labels)", "6", "1", "1"]
    assert lines[place + 2].split() == ["SR", "6", "1", "1"]
    assert "  stored as int16: off by at most 0.0005 mV, 0 values of 0 records clipped" in lines


def test_label_files_of_another_manifest_are_refused(ptb_xl, options):
    folder = ptb_xl.write()
    cohort = ptb_xl_dataset(folder, label_set=ptb_xl_label_set(folder, "all"))
    prepare(cohort, options("m"))
    manifest = Manifest.load(options("m").out)
    assert label_set_prevalence(manifest)["set"] == "all"
    path = options("m").out / "labels/y.npy"
    np.save(path, np.load(path)[:5])
    with pytest.raises(ManifestError, match="5 rows for the 12 lines"):
        label_set_prevalence(manifest)


def test_inspect_explains_a_damaged_manifest(sound, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(sound, copy)
    write_json(copy / "meta.json", {})
    assert main(["inspect", str(copy)]) == 1
    assert "does not describe a manifest" in capsys.readouterr().err
