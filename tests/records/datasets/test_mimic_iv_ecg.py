"""MIMIC-IV-ECG: tables, order of leads, missing samples, and ECG-QA's questions about it."""

import csv
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecg_fairseq.cli.prepare import prepare_dataset
from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.records.datasets.ecg_qa import (
    QUESTION_TYPES,
    SINGLE_TYPES,
    EcgQaChoice,
    ecg_qa_mimic_dataset,
)
from ecg_fairseq.records.datasets.mimic_iv_ecg import mimic_iv_ecg_dataset, read_mimic_iv_ecg
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.leakage import find_leaks
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.preparation.raw_dataset import with_label_table
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.readers.wfdb_writer import write_wfdb_record
from ecg_fairseq.records.record_row import SPLITS
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts import layout_writer
from ecg_fairseq.records.simulated.layouts.mimic_iv_ecg import file_steps, has_missing_samples
from ecg_fairseq.records.simulated.layouts.mimic_iv_ecg_tables import mimic_record
from ecg_fairseq.records.simulated.plan import draw_case, plan_cohort, simulate_case
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes import get_recipe

SETTINGS = CohortSettings(patients=40, seed=3)
PLANNED = plan_cohort(SETTINGS.patients, SETTINGS.seed)
HEADER_ORDER = ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mimic")
    layout_writer("mimic_iv_ecg")(folder, SETTINGS, 1)
    return folder


@pytest.fixture
def tables(raw: Path, tmp_path: Path) -> Path:
    """A folder with the tables alone, to damage."""
    for path in raw.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


def made(raw_dataset, out: Path, recipe: str = "ecg_byte_beat") -> Manifest:
    prepare(raw_dataset, PrepareOptions(out, get_recipe(recipe), progress="silent"))
    return Manifest.load(out)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_any_number_of_workers_writes_the_same_files(raw, tmp_path):
    layout_writer("mimic_iv_ecg")(tmp_path / "two", SETTINGS, 2)
    assert digests(tmp_path / "two") == digests(raw)
    with pytest.raises(EcgError, match="other settings"):
        layout_writer("mimic_iv_ecg")(raw, CohortSettings(41, 3), 1)
    with pytest.raises(EcgError, match="--fs 250"):
        layout_writer("mimic_iv_ecg")(tmp_path / "slow", CohortSettings(2, 3, 250), 1)


def test_leads_are_found_by_name_whatever_the_header_s_order(raw):
    for planned in PLANNED[:4]:
        item = mimic_record(planned)
        path = raw / item.path
        header = wfdb.rdheader(str(path))
        assert header.sig_name == HEADER_ORDER
        assert header.adc_gain == [200.0] * 12
        assert header.comments == [f"<subject_id>: {item.subject_id}"]
        stored = wfdb.rdrecord(str(path), physical=False)
        assert stored.checksum == [sum_ - 65536 * (sum_ > 32767) for sum_ in stored.calc_checksum()]
        wanted = simulate_case(draw_case(planned, SETTINGS.seed), SETTINGS.seed, 500).signal
        record = read_record(path)
        signal = record.select(CANONICAL_LEADS).signal
        np.testing.assert_array_equal(stored.d_signal.T, file_steps(wanted))
        # aVR, aVL and aVF are made from rounded limb leads: up to 1.5 steps of 5 uV.
        assert np.abs(signal - wanted).max() < 0.0076
        assert np.abs(signal[4] - signal[5]).max() > 0.1


def test_a_manifest_of_the_simulated_layout(raw, tmp_path, capsys):
    patients = raw / "mimic-iv/hosp/patients.csv"
    manifest = made(mimic_iv_ecg_dataset(raw, patients), tmp_path / "m")
    missing = {
        str(mimic_record(p).study_id) for p in PLANNED if has_missing_samples(mimic_record(p))
    }
    skipped = {name: row.reason for name, row in manifest.records.items() if not row.is_ok}
    assert set(skipped) == missing
    assert len(missing) == 3
    assert all("NaN" in reason for reason in skipped.values())
    for planned in PLANNED:
        item, case = mimic_record(planned), draw_case(planned, SETTINGS.seed)
        row = manifest.record_row(str(item.study_id))
        assert row.patient_id == str(item.subject_id)
        assert row.source == item.path
        assert row.sex == ("female" if case.person.sex else "male")
        # The age counts from the first day of the anchor year, so it may be a year ahead.
        assert case.person.age - 1 <= row.age <= case.person.age + 2
        assert row.report.startswith(
            "Atrial fibrillation" if case.findings.atrial_fibrillation else "Sinus"
        )
        assert ("p_onset" in row.labels) is not case.findings.atrial_fibrillation
        limits = {"slow": (1000, 1500), "normal": (630, 953), "fast": (400, 572)}
        low, high = limits[case.findings.rate_class]
        assert low <= row.labels["rr_interval"] <= high
        assert isinstance(row.labels["qrs_axis"], float)
    sides = {}
    for row in manifest.records.values():
        if row.is_ok:
            assert sides.setdefault(row.patient_id, row.split) == row.split
    assert set(sides.values()) == set(SPLITS)
    names = list(manifest.records)
    assert names == sorted(names, key=lambda name: (manifest.records[name].patient_id, name))


def test_the_real_row(shared_dir, tmp_path, capsys):
    folder = tmp_path / "raw"
    shutil.copytree(shared_dir / "data/mimic-iv-ecg", folder)
    (source,) = read_mimic_iv_ecg(folder)
    assert (source.record_id, source.patient_id, source.age) == ("40689238", "10000032", None)
    assert source.report == "Sinus rhythm; Possible right atrial abnormality; Borderline ECG"
    assert json.loads(source.labels_json) == {
        "ecg_time": "2180-07-23 08:44:00",
        "bandwidth": "0.005-150 Hz",
        "filtering": "60 Hz notch Baseline filter",
        **{"rr_interval": 659, "p_onset": 40, "p_end": 128, "qrs_onset": 170, "qrs_end": 258},
        **{"t_end": 518, "p_axis": 81, "qrs_axis": 77, "t_axis": 79},
    }
    with pytest.raises(ManifestError, match="WFDB header not found"):
        made(mimic_iv_ecg_dataset(folder), tmp_path / "absent")
    path = folder / "files/p1000/p10000032/s40689238/40689238"
    path.parent.mkdir(parents=True)
    signal = simulate_case(draw_case(PLANNED[0], 3), 3, 500).signal
    write_wfdb_record(path, file_steps(signal), 500, HEADER_ORDER, 200.0)
    (folder / "patients.csv").write_text(
        "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod\n"
        "10000032,F,52,2180,2014 - 2016,2180-09-09\n"
    )
    manifest = made(mimic_iv_ecg_dataset(folder, folder / "patients.csv"), tmp_path / "m")
    row = manifest.record_row("40689238")
    assert (row.split, row.sex, row.age, row.labels["year"]) == ("train", "female", 52.56, 2015)


def test_a_share_of_the_subjects(raw):
    whole, part = read_mimic_iv_ecg(raw), read_mimic_iv_ecg(raw, fraction=0.5, seed=1)
    kept = {source.patient_id for source in part}
    assert 8 < len(kept) < 32
    assert part == [source for source in whole if source.patient_id in kept]


def test_labels_from_a_table_name_the_study(raw, tmp_path):
    ids = [str(mimic_record(planned).study_id) for planned in PLANNED]
    lines = [f"{name},{number % 2}\n" for number, name in enumerate(ids)]
    (tmp_path / "labels.csv").write_text("study_id,Poor data quality\n" + "".join(lines))
    raw_dataset = with_label_table(mimic_iv_ecg_dataset(raw), tmp_path / "labels.csv")
    manifest = made(raw_dataset, tmp_path / "m")
    values = np.load(tmp_path / "m/labels/y.npy")
    for line, row in enumerate(manifest.records.values()):
        if row.is_ok:
            assert values[line, 0] == ids.index(row.record_id) % 2


def edited(path: Path, column: str, value: str) -> None:
    with open(path, newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[1][column] = value
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("path", "../../etc/passwd", "line 3: path is"),
        ("path", "/etc/passwd", "line 3: path is"),
        ("path", "", "line 3: path is"),
        ("ecg_time", "yesterday", "line 3: ecg_time is 'yesterday'"),
        ("study_id", "", "line 3: study_id and subject_id"),
        ("subject_id", " ", "line 3: study_id and subject_id"),
    ],
)
def test_damaged_lists_are_named(tables, column, value, message):
    edited(tables / "record_list.csv", column, value)
    with pytest.raises(ManifestError, match=message):
        read_mimic_iv_ecg(tables)


def test_missing_tables_and_columns(tables, tmp_path, capsys):
    with pytest.raises(ManifestError, match="folder not found"):
        read_mimic_iv_ecg(tmp_path / "nix")
    patients = tmp_path / "patients.csv"
    patients.write_text("subject_id,gender,anchor_age,anchor_year,anchor_year_group\n1,F,old,2,\n")
    with pytest.raises(ManifestError, match="line 2: anchor_age 'old'"):
        read_mimic_iv_ecg(tables, patients)
    patients.write_text("subject_id,gender\n")
    with pytest.raises(ManifestError, match="no column anchor_age"):
        read_mimic_iv_ecg(tables, patients)
    (tables / "machine_measurements.csv").write_text("study_id\n1\n")
    with pytest.raises(ManifestError, match="no column report_0"):
        read_mimic_iv_ecg(tables)
    (tables / "machine_measurements.csv").unlink()
    assert {source.report for source in read_mimic_iv_ecg(tables)} == {""}
    assert "no reports" in capsys.readouterr().err
    (tables / "record_list.csv").unlink()
    with pytest.raises(ManifestError, match="record list not found"):
        read_mimic_iv_ecg(tables)


@pytest.fixture(scope="module")
def asked(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    choice = EcgQaChoice(question_types=QUESTION_TYPES)
    raw_dataset = ecg_qa_mimic_dataset(raw / "ecg-qa", raw, choice)
    return made(raw_dataset, tmp_path_factory.mktemp("asked") / "m")


def entries_of(raw: Path, split: str) -> list[dict]:
    (path,) = (raw / "ecg-qa/ecgqa/mimic-iv-ecg/template" / split).glob("*.json")
    assert len(path.stem) == 6
    return json.loads(path.read_text())


def test_ecg_qa_asks_about_mimic(raw, asked):
    folds = {str(mimic_record(planned).study_id): planned.split for planned in PLANNED}
    for split in SPLITS:
        wanted, found = entries_of(raw, split), asked.questions(split)
        assert [q.id for q in found] == [f"mimic-{split}-template-{n}" for n in range(len(wanted))]
        for entry, question in zip(wanted, found, strict=True):
            assert question.record_ids == [str(number) for number in entry["ecg_id"]]
            assert question.question == entry["question"]
            assert {folds[name] for name in question.record_ids} == {split}
    types = Counter(q.question_type for split in SPLITS for q in asked.questions(split))
    assert set(types) == set(QUESTION_TYPES)
    assert asked.meta["dataset"] == "ecg_qa_mimic_iv_ecg"
    assert asked.meta["questions_dropped"] == {}
    assert all(row.is_ok for row in asked.records.values())


def test_mapped_files_with_paths_alone_give_the_same(raw, asked, tmp_path):
    """ECG-QA's mapping script adds ``ecg_path``; HeartLLM writes it as one text."""
    root = tmp_path / "output/mimic-iv-ecg"
    shutil.copytree(raw / "ecg-qa/ecgqa/mimic-iv-ecg", root)
    paths = {mimic_record(p).study_id: f"../data/{mimic_record(p).path}" for p in PLANNED}
    for split in SPLITS:
        entries = entries_of(raw, split)
        for number, entry in enumerate(entries):
            found = [paths[name] for name in entry.pop("ecg_id")]
            entry["ecg_path"] = found[0] if len(found) == 1 and number % 2 else found
        (path,) = (root / "template" / split).glob("*.json")
        path.write_text(json.dumps(entries))
    choice = EcgQaChoice(question_types=QUESTION_TYPES)
    manifest = made(ecg_qa_mimic_dataset(tmp_path, raw, choice), tmp_path / "m")
    for split in SPLITS:
        assert manifest.questions(split) == asked.questions(split)


def test_the_script_takes_one_dataset_with_its_own_options(raw, tmp_path, capsys):
    words = [str(raw / "ecg-qa"), "--out", str(tmp_path / "m"), "--recipe", "ecg_byte_beat"]
    words += ["--progress", "silent"]
    mimic = ["--mimic-iv-ecg", str(raw)]
    for more, message in (
        ([*mimic, "--label-set", "superclass"], "give --label-table"),
        (["--ptb-xl", str(raw), "--patients", "x.csv"], "goes with --mimic-iv-ecg"),
    ):
        assert prepare_dataset("ecg_qa", [*words, *more]) == 1
        assert message in capsys.readouterr().err
    for more in ([], [*mimic, "--ptb-xl", str(raw)]):
        with pytest.raises(SystemExit) as caught:
            prepare_dataset("ecg_qa", [*words, *more])
        assert caught.value.code == 2
    patients = ["--patients", str(raw / "mimic-iv/hosp/patients.csv")]
    assert prepare_dataset("ecg_qa", [*words, *mimic, *patients]) == 0
    manifest = Manifest.load(tmp_path / "m")
    assert {q.question_type for q in manifest.questions("train")} == set(SINGLE_TYPES)
    assert all(row.sex for row in manifest.records.values())


def test_what_only_ptb_xl_has_is_refused(raw):
    for choice in (EcgQaChoice(split="ptb-xl"), EcgQaChoice(label_splits=("test",))):
        with pytest.raises(ManifestError, match="neither published folds nor statements"):
            ecg_qa_mimic_dataset(raw / "ecg-qa", raw, choice)
    with pytest.raises(ManifestError, match="no ECG-QA questions"):
        ecg_qa_mimic_dataset(raw, raw, EcgQaChoice())


def test_sides_that_differ_between_manifests_of_the_same_subjects_are_a_leak(raw, asked, tmp_path):
    whole = made(mimic_iv_ecg_dataset(raw), tmp_path / "m")
    leaks = [leak for leak in find_leaks([asked, whole]) if "patient" in leak]
    assert leaks
    assert "on side train" in " ".join(leaks)


def test_a_question_on_another_side_than_published_is_a_leak(asked, tmp_path):
    shutil.copytree(asked.path, tmp_path / "m")
    path = tmp_path / "m/train.jsonl"
    first, rest = path.read_text().split("\n", 1)
    planted = json.loads(first) | {"id": "mimic-test-template-0"}
    path.write_text(json.dumps(planted) + "\n" + rest)
    assert not list(find_leaks([asked]))
    leaks = list(find_leaks([Manifest.load(tmp_path / "m")]))
    assert any("ECG-QA published for another side" in leak for leak in leaks)
