"""Labels tables as people have them: delimiters, blanks, near-equal patients, odd cells."""

import unicodedata

import numpy as np
import pytest
from foreign_files import made_steps

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.own_data import OwnData, own_dataset, own_label_set
from ecg_fairseq.records.datasets.own_tables import age_of, nearly_equal, read_table
from ecg_fairseq.records.labels.label_table import read_label_table
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.source_record import SourceRecord
from ecg_fairseq.signal.recipes import get_recipe


def sources_of(tmp_path, text: str, encoding: str = "utf-8"):
    """Return the dataset of an array with as many records as the table has lines."""
    (tmp_path / "l.csv").write_bytes(text.encode(encoding))
    np.save(tmp_path / "a.npy", np.zeros((text.count("\n") - 1, 12, 8), np.float32))
    return own_dataset(OwnData(tmp_path / "a.npy", fs_hz=500.0, labels=tmp_path / "l.csv"))


@pytest.mark.parametrize("mark", [",", ";", "\t", ", ", " ; "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_delimiter_blanks_and_byte_order_mark(tmp_path, mark, encoding):
    lines = [
        ["record_id", "patient_id", "age", "sex", "AF"],
        ["r0", "p0 ", "61", "M", "1"],
        ["r1", " p0", "62", "f", "0"],
    ]
    text = "".join(mark.join(cells) + "\n" for cells in lines)
    dataset = sources_of(tmp_path, text, encoding)
    read = [(s.record_id, s.patient_id, s.age, s.sex) for s in dataset.sources]
    assert read == [("r0", "p0", 61.0, "male"), ("r1", "p0", 62.0, "female")]
    assert dataset.label_set.labels == ("AF",)


def test_decimal_commas(tmp_path):
    dataset = sources_of(tmp_path, "record_id;age;AF\nr0;61,5;1,0\nr1;7;0,0\n")
    assert [source.age for source in dataset.sources] == [61.5, 7.0]
    rows = [RecordRow(s.record_id, "", labels_json=s.labels_json) for s in dataset.sources]
    assert [dataset.label_set.positives(row) for row in rows] == [["AF"], []]


def test_quoted_cells_behind_blanks(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a, b\n1, "x, y"\n')
    assert read_table(path) == [{"a": "1", "b": "x, y"}]


def test_a_column_twice_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="column AF twice"):
        sources_of(tmp_path, "record_id,AF, AF\nr0,1,0\n")


@pytest.mark.parametrize("cell", ["", "nan", "-1", "maybe"])
def test_one_unreadable_cell_leaves_its_record_unlabelled(tmp_path, capsys, cell):
    text = "record_id,AF,MI\n" + "".join(f"r{n},{cell if n == 3 else n % 2},1\n" for n in range(20))
    dataset = sources_of(tmp_path, text)
    assert dataset.label_set.labels == ("AF", "MI")
    assert dataset.notes["label_cells_not_0_1"] == {"AF": 1}
    assert "unlabelled: AF (1)" in capsys.readouterr().err
    rows = [RecordRow(s.record_id, "", labels_json=s.labels_json) for s in dataset.sources]
    found = [dataset.label_set.positives(row) for row in rows]
    assert found[3] is None
    assert [positives for n, positives in enumerate(found) if n != 3] == [
        ["AF", "MI"] if n % 2 else ["MI"] for n in range(20) if n != 3
    ]


def test_columns_of_other_values_are_no_labels():
    table = [{"grade": str(n % 4), "AF": "1"} for n in range(20)]
    label_set, others = own_label_set(table)
    assert label_set.labels == ("AF",)
    assert others == ["grade"]


@pytest.mark.parametrize(
    ("cell", "age"),
    [
        *[(cell, None) for cell in ("", "nan", "NA")],
        *[(cell, 300.0) for cell in (">89", "> 89", "90+")],
        *[("61,5", 61.5), ("61.5", 61.5), ("0", 0.0)],
    ],
)
def test_ages(cell, age):
    assert age_of(cell, "record r0") == age


@pytest.mark.parametrize("cell", ["old", "-5", "inf"])
def test_what_is_no_age_is_refused(cell):
    with pytest.raises(ManifestError, match="record r0: age"):
        age_of(cell, "record r0")


def test_sexes_that_are_not_read_are_counted(tmp_path, capsys):
    dataset = sources_of(tmp_path, "record_id,sex\nr0,0\nr1,Female\nr2,NA\n")
    assert [source.sex for source in dataset.sources] == ["", "female", ""]
    assert dataset.notes["sexes_not_read"] == 1
    assert "sex of 1 records is not read ('0')" in capsys.readouterr().err


@pytest.mark.parametrize(
    "pair",
    [
        ("5", "5.0"),
        ("0005", "5"),
        ("0005", "5.0"),
        ("P1", "p1"),
        (unicodedata.normalize("NFC", "Mü"), unicodedata.normalize("NFD", "Mü")),
    ],
)
def test_nearly_equal_patients_are_warned_of_by_name(tmp_path, capsys, pair):
    first, second = pair
    text = f"record_id,patient_id\nr0,{first}\nr1,{second}\nr2,77\n"
    dataset = sources_of(tmp_path, text)
    assert dataset.notes["patient_ids_nearly_equal"] == [sorted(pair)]
    said = capsys.readouterr().err
    assert repr(first) in said
    assert repr(second) in said


def test_different_patients_are_not_nearly_equal():
    assert nearly_equal(["5", "50", "500", "0", "P1", "P10", "1.5", "15", "p01"]) == []


@pytest.mark.parametrize("cell", ["", "nan", "NA"])
def test_records_without_patient_are_their_own(tmp_path, capsys, cell):
    dataset = sources_of(tmp_path, f"record_id,patient_id\nr0,{cell}\nr1,{cell}\nr2,p\n")
    assert [s.patient_id for s in dataset.sources] == ["record-r0", "record-r1", "p"]
    assert "2 records have no patient_id" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["subject_id", "Patient_ID", "PatientID", "patient id", "MRN"])
def test_a_column_that_is_nearly_patient_id_is_named(tmp_path, capsys, name):
    sources_of(tmp_path, f"record_id,{name}\nr0,p\nr1,p\n")
    assert f"column {name} is not read as patient_id" in capsys.readouterr().err


def test_a_label_table_may_have_any_delimiter(tmp_path):
    path = tmp_path / "l.csv"
    path.write_text("record_id; AF\nr0 ;1\n")
    assert read_label_table(path, [SourceRecord("r0", "p0", "x")]).positives == {"r0": ("AF",)}


@pytest.mark.parametrize(
    ("patients", "said"), [(None, "4 of 4"), (["p", "p", "", ""], "2 of 4"), (list("abcd"), None)]
)
def test_inspect_says_whose_patients_are_unknown(tmp_path, capsys, patients, said):
    np.save(tmp_path / "a.npy", np.stack([made_steps(12, 5000, n) for n in range(4)]) / 1000.0)
    lines = [f"r{n}" + (f",{patients[n]}" if patients else "") for n in range(4)]
    header = "record_id,patient_id" if patients else "record_id"
    (tmp_path / "l.csv").write_text("\n".join([header, *lines]) + "\n")
    data = OwnData(tmp_path / "a.npy", fs_hz=500.0, labels=tmp_path / "l.csv")
    options = PrepareOptions(tmp_path / "m", get_recipe("ecg_byte_10s"), progress="silent")
    prepare(own_dataset(data), options)
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "m")]) == 0
    out = capsys.readouterr().out
    assert "leakage check: nothing found" in out
    assert (f"patients unknown: {said} records" in out) if said else ("unknown" not in out)
