"""LUDB, PTB and INCART in their own layouts: leads, labels, patients, and damaged folders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.incart import OWN_LAYOUT as INCART_LAYOUT
from ecg_fairseq.records.datasets.ludb import ludb_dataset, parse_diagnoses
from ecg_fairseq.records.datasets.ptb import OWN_LAYOUT as PTB_LAYOUT
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.readers.wfdb_comments import comment_value, parse_age, parse_sex
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts import layout_writer
from ecg_fairseq.signal.recipes import get_recipe


def raw(tmp_path: Path, layout: str, patients: int) -> Path:
    layout_writer(layout)(tmp_path / layout, CohortSettings(patients, seed=2), 1)
    return tmp_path / layout


def prepared(raw_dataset, out: Path) -> Manifest:
    prepare(raw_dataset, PrepareOptions(out, get_recipe("ecg_fm"), progress="silent"))
    return Manifest.load(out)


def labels_of(source) -> dict:
    return json.loads(source.labels_json)


def wfdb_values(path: Path) -> np.ndarray:
    import wfdb

    return wfdb.rdrecord(str(path)).p_signal


def test_the_real_ludb_record(shared_dir, tmp_path):
    folder = shared_dir / "data/ludb"
    raw_dataset = ludb_dataset(folder)
    assert len(raw_dataset.sources) == 1
    source = raw_dataset.sources[0]
    assert (source.record_id, source.age, source.sex) == ("1", 51.0, "female")
    assert labels_of(source) == {
        "rhythm": "sinus bradycardia",
        "heart_axis": "left axis deviation",
        "diagnoses": [
            "left ventricular hypertrophy",
            "left ventricular overload",
            "non-specific repolarization abnormalities: posterior wall",
        ],
    }
    assert source.report.startswith("Rhythm: Sinus bradycardia. Electric axis")
    assert len(raw_dataset.label_set.labels) == 5
    record = read_record(source.path)
    assert record.leads[:4] == ("I", "II", "III", "aVR")
    assert np.abs(record.signal.T - wfdb_values(folder / "data/1")).max() <= 1e-6
    assert prepared(raw_dataset, tmp_path / "m").meta["counts"]["segments"] == 2
    assert ludb_dataset(folder / "data").sources == raw_dataset.sources


def test_made_ludb(tmp_path):
    folder = raw(tmp_path, "ludb", 12)
    raw_dataset = ludb_dataset(folder, "rhythm")
    assert [source.record_id for source in raw_dataset.sources] == [str(n) for n in range(1, 13)]
    assert set(raw_dataset.label_set.labels) <= {
        "sinus rhythm",
        "sinus bradycardia",
        "sinus tachycardia",
        "atrial fibrillation",
    }
    assert len(raw_dataset.label_set.labels) >= 3
    manifest = prepared(raw_dataset, tmp_path / "m")
    y = np.load(tmp_path / "m/labels/y.npy")
    assert (y.sum(axis=1) == 1).all()
    assert set(manifest.meta["split"]["patients"].values()) == {1, 10}
    for source in raw_dataset.sources:
        values = wfdb_values(Path(source.path))
        assert np.abs(read_record(source.path).signal.T - values).max() <= 1e-6
    (folder / "data/5.hea").unlink()
    missing = ludb_dataset(folder).left_out
    assert [name for name, _, _ in missing] == ["5"]
    with pytest.raises(ManifestError, match="--label-set"):
        ludb_dataset(folder, "nix")
    (folder / "ludb.csv").write_bytes(b"ID\n\xff\xfe\n")
    with pytest.raises(ManifestError, match="cannot be read"):
        ludb_dataset(folder)
    with pytest.raises(ManifestError, match="no WFDB header"):
        ludb_dataset(tmp_path / "nix")


def test_statements_of_ludb():
    labels = parse_diagnoses(
        ["Rhythm:  Atrial flutter,  typical. ", "", "I degree AV block.", "i degree av block"]
    )
    assert labels["rhythm"] == "atrial flutter, typical"
    assert labels["diagnoses"] == ["i degree av block"]


def test_ptb_in_its_own_layout(tmp_path):
    folder = raw(tmp_path, "ptb", 5)
    assert PTB_LAYOUT.is_in(folder)
    raw_dataset = PTB_LAYOUT.dataset(folder)
    patients = [source.patient_id for source in raw_dataset.sources]
    assert len(set(patients)) == 5 < len(patients)
    record = read_record(raw_dataset.sources[0].path)
    assert record.leads[-4:] == ("V6", "VX", "VY", "VZ")
    assert record.signal.shape == (15, 38400)
    assert record.fs_hz == 1000
    values = wfdb_values(Path(raw_dataset.sources[0].path))
    assert np.abs(record.signal.T - values).max() <= 1e-6
    manifest = prepared(raw_dataset, tmp_path / "m")
    assert {row.num_segments for row in manifest.records.values()} == {7}
    sides = {(row.patient_id, row.split) for row in manifest.records.values()}
    assert len(sides) == 5
    assert all(labels_of(source).get("diagnosis") != "n/a" for source in raw_dataset.sources)
    with pytest.raises(ManifestError, match="no WFDB header"):
        PTB_LAYOUT.dataset(tmp_path)


def test_incart_in_its_own_layout(tmp_path):
    folder = raw(tmp_path, "incart", 2)
    assert INCART_LAYOUT.is_in(folder)
    raw_dataset = INCART_LAYOUT.dataset(folder)
    record = read_record(raw_dataset.sources[0].path)
    assert (record.fs_hz, record.signal.shape) == (257, (12, 462600))
    values = wfdb_values(Path(raw_dataset.sources[0].path))
    assert np.abs(record.signal.T - values).max() <= 1e-6
    assert raw_dataset.sources[0].patient_id == "patient01"
    assert labels_of(raw_dataset.sources[0])["diagnoses"] == ["Coronary artery disease"]
    assert raw_dataset.sources[0].age > 0
    assert raw_dataset.sources[0].sex in ("male", "female")
    with pytest.raises(ManifestError, match="no WFDB header"):
        INCART_LAYOUT.dataset(tmp_path)


def test_incarts_comments(tmp_path):
    folder = raw(tmp_path, "incart", 1)
    header = folder / "I01.hea"
    lines = [line for line in header.read_text().splitlines() if not line.startswith("#")]
    comments = ["#<age>: 65 <sex>: F <diagnoses> Coronary artery disease, hypertension"]
    comments += ["# patient 7", "# PVCs, noise"]
    header.write_text("\n".join([*lines, *comments, ""]))
    source = INCART_LAYOUT.dataset(folder).sources[0]
    assert (source.age, source.sex, source.patient_id) == (65.0, "female", "patient07")
    assert labels_of(source) == {
        "diagnoses": ["Coronary artery disease", "hypertension"],
        "findings": ["PVCs", "noise"],
    }
    raw_dataset = INCART_LAYOUT.dataset(folder)
    row = RecordRow("I01", "", labels_json=source.labels_json)
    assert raw_dataset.label_set.positives(row) == {"PVCs", "noise"}
    header.write_text("\n".join([*lines, "#<age>: 51 <sex>: F ", ""]))
    source = INCART_LAYOUT.dataset(folder).sources[0]
    assert (source.patient_id, labels_of(source)) == ("I01", {})


def test_a_damaged_header_is_skipped_with_a_reason(tmp_path):
    for layout, cohort_of, name in (
        ("ludb", ludb_dataset, "data/3.hea"),
        ("ptb", PTB_LAYOUT.dataset, "patient003/extra.hea"),
    ):
        folder = raw(tmp_path, layout, 4)
        (folder / name).write_bytes(b"\0\0")
        options = PrepareOptions(
            tmp_path / f"m-{layout}",
            get_recipe("ecg_fm"),
            progress="silent",
            max_skip_fraction=0.5,
        )
        assert prepare(cohort_of(folder), options)["skipped"] == 1
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("comments", "name", "expected"),
    [
        (["Age: 85"], "age", "85"),
        (["<age>: >89"], "age", ">89"),
        (["<age>: 65 <sex>: F <diagnoses> A, B"], "sex", "F"),
        (["<age>: 65 <sex>: F <diagnoses> A, B"], "diagnoses", "A, B"),
        (["ageing: yes"], "age", ""),
        (["Dx:"], "dx", ""),
        (["Reason for admission: n/a"], "Reason for admission", ""),
        ([], "age", ""),
    ],
)
def test_values_of_comments(comments, name, expected):
    assert comment_value(comments, name) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("56", 56.0), ("NaN", None), ("", None), ("-1", None), ("> 89", 300.0), ("inf", None)],
)
def test_ages(text, expected):
    assert parse_age(text) == expected


def test_sexes():
    assert [parse_sex(text) for text in ("Female", "M", " f", "NaN")] == [
        "female",
        "male",
        "female",
        "",
    ]
