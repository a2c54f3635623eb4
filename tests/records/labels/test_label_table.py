"""Label tables: how lines find their recording, what is counted, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.cli.prepare import prepare_dataset
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.labels.label_files import label_matrix, read_label_files
from ecg_fairseq.records.labels.label_table import truth_of
from ecg_fairseq.records.preparation.raw_dataset import RawDataset, with_label_table
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.source_record import SourceRecord

SOURCES = [
    SourceRecord("7", "p1", "/data/a/7", "a/7"),
    SourceRecord("8", "p2", "/data/a/8", "a/8"),
    SourceRecord("40689238", "p3", "/data/files/s40689238", "files/p10/s40689238/40689238"),
]


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a label table."""

    def write(text: str) -> Path:
        (tmp_path / "labels").mkdir(exist_ok=True)
        path = tmp_path / "labels/my_labels.csv"
        path.write_text(text)
        return path

    return write


def labelled(path: Path, **more) -> dict:
    raw_dataset = with_label_table(RawDataset("toy", SOURCES, "patient", **more), path)
    rows = [RecordRow(source.record_id, "p", "train") for source in SOURCES]
    matrix = label_matrix(raw_dataset.label_set, rows)
    values = dict(zip((row.record_id for row in rows), matrix.values.tolist(), strict=True))
    return {"dataset": raw_dataset, "names": matrix.names, "values": values}


def test_truth_of_cells():
    assert [truth_of(cell) for cell in ("1", " TRUE", "1.0")] == [True] * 3
    assert [truth_of(cell) for cell in ("0", "False ", "0.0")] == [False] * 3
    assert [truth_of(cell) for cell in ("", "2", "nan", "0.5")] == [None] * 4


def test_lines_and_recordings_without_each_other_are_counted(table, capsys):
    path = table('record_id,patient_id,AF,"PVC, many"\n8,p2,1,0\n\n7,p1,0,0\n99,p9,1,1\n')
    found = labelled(path)
    assert found["names"] == ("AF", "PVC, many")
    assert found["values"]["8"] == [1, 0]
    assert found["values"]["7"] == [0, 0]
    assert np.isnan(found["values"]["40689238"]).all()
    raw_dataset = found["dataset"]
    assert raw_dataset.label_set.name == "my_labels"
    assert raw_dataset.notes["label_table"] == {
        "file": "my_labels.csv",
        "records_not_listed": 1,
        "lines_of_no_record": 1,
    }
    assert "1 recordings of toy are not in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("record_id", "40689238"),
        ("record_id", "40689238.0"),
        ("study_id", "40689238"),
        ("path", "files/p10/s40689238/40689238"),
        ("path", "files/p10/s40689238/40689238.hea"),
        ("save_file", "mimic_iv_ecg_files-p10-s40689238-40689238.mat"),
    ],
)
def test_the_column_may_be_called_as_the_dataset_does(table, header, cell):
    found = labelled(table(f"{header},AF\n{cell},1\n"), id_columns=("study_id",))
    assert found["values"]["40689238"] == [1]


def test_ecg_fm_tables_name_recordings_by_idx(table, tmp_path):
    path = table("idx,AF\n0,True\n1,False\n")
    with pytest.raises(ManifestError, match=r"meta_split\.csv"):
        labelled(path)
    (tmp_path / "meta_split.csv").write_text(
        "idx,save_file,split\n0,toy_8.mat,train\n1,toy_7.mat,test\n"
    )
    found = labelled(path)
    assert (found["values"]["8"], found["values"]["7"]) == ([1], [0])
    (tmp_path / "meta_split.csv").write_text("idx,split\n0,train\n")
    with pytest.raises(ManifestError, match="idx and save_file"):
        labelled(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns"),
        ("AF\n1\n", "has the columns"),
        ("record_id,age\n7,50\n", "has the columns"),
        ("record_id,AF,AF\n7,0,1\n", "column AF twice.*all different"),
        ("record_id,AF\n7,maybe\n", "column AF holds 'maybe'"),
        ("record_id,AF\n7,\n", "line 2: column AF holds ''"),
        ("record_id,AF\n7,1,0\n", "3 cells"),
        ("record_id,AF\n7,1\n7,0\n", "another line labels already"),
        ("record_id,AF\nzz,1\n", "none of its 1 lines"),
        ("record_id,AF\n\x00\xff,1\n", "none of its|cannot be read"),
    ],
)
def test_damaged_tables_are_named(table, text, message):
    with pytest.raises(ManifestError, match=message) as caught:
        labelled(table(text))
    assert "my_labels.csv" in str(caught.value)


MANY = [SourceRecord(str(n), f"p{n}", f"/data/{n}", str(n)) for n in range(1, 31)]


def table_of(cells: dict[int, str], header: str = "record_id,AF,MI") -> str:
    return f"{header}\n" + "".join(f"{n},{n % 2},{cells.get(n, '1')}\n" for n in range(1, 31))


@pytest.mark.parametrize("cell", ["", "nan", "unknown", "-1", "0.5"])
def test_a_cell_that_does_not_tell_leaves_its_record_unlabelled(table, capsys, cell):
    path = table(table_of({4: cell, 9: cell}))
    found = with_label_table(RawDataset("toy", MANY, "patient"), path)
    rows = [RecordRow(source.record_id, "p", "train") for source in MANY]
    values = label_matrix(found.label_set, rows).values
    assert np.flatnonzero(np.isnan(values).any(axis=1)).tolist() == [3, 8]
    assert np.nansum(values, axis=0).tolist() == [14, 28]
    assert found.notes["label_table"]["label_cells_not_0_1"] == {"MI": 2}
    assert found.notes["label_table"]["records_not_listed"] == 0
    assert "neither 0 nor 1 leave their records unlabelled: MI (2)" in capsys.readouterr().err


def test_a_column_of_other_values_is_refused_with_its_first_cell(table):
    path = table(table_of(dict.fromkeys(range(3, 8), "yes")))
    with pytest.raises(ManifestError, match=r"line 4: column MI holds 'yes'.* 5 of its 30 cells"):
        with_label_table(RawDataset("toy", MANY, "patient"), path)


@pytest.mark.parametrize("delimiter", [";", "\t", " , "])
def test_any_delimiter_blanks_marks_and_decimal_commas_are_read(table, delimiter):
    ones = "1" if "," in delimiter else "1,0"
    lines = [["record_id", "AF", ""], ["7", ones, ""], ["8", "0", ""]]
    path = table("\ufeff" + "".join(delimiter.join(line) + "\r\n" for line in lines))
    assert labelled(path)["values"]["7"] == [1]


def test_nearly_equal_names_and_odd_columns_are_said(table, capsys):
    path = table("record_id,Gender,AF\n007,1,0\n7.0,1,1\n8,0,0\n")
    found = labelled(path)
    assert found["names"] == ("Gender", "AF")
    assert found["values"]["7"] == [1, 1]
    said = capsys.readouterr().err
    assert "column Gender counts as a label; if it is sex" in said
    assert "nearly called as one: '007' and recording '7'" in said


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        labelled(tmp_path / "nowhere.csv")


def test_every_script_takes_a_label_table(ptb_xl, tmp_path, table):
    folder = ptb_xl.write()
    path = table("ecg_id,odd\n" + "".join(f"{n},{n % 2}\n" for n in range(1, 12)))
    words = [str(folder), "--recipe", "ecg_byte_beat", "--progress", "silent"]
    words += ["--label-table", str(path), "--out", str(tmp_path / "m")]
    assert prepare_dataset("ptb_xl", words) == 0
    names, values = read_label_files(tmp_path / "m/labels")
    assert names == ("odd",)
    assert values[:, 0].tolist()[:11] == [n % 2 for n in range(1, 12)]
    assert np.isnan(values[11, 0])
    meta = json.loads((tmp_path / "m/meta.json").read_text())
    assert meta["labels"]["labelled"] == {"train": 8, "valid": 2, "test": 1}
    assert meta["label_table"]["records_not_listed"] == 1
