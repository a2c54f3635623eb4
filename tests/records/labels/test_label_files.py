"""Label files equal fairseq-signals' own to the byte, and follow a manifest's records."""

import csv
import math

import numpy as np
import pytest

from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.records.datasets.ptb_xl import ptb_xl_dataset
from ecg_fairseq.records.datasets.ptb_xl_files import read_scp_statements
from ecg_fairseq.records.datasets.ptb_xl_labels import LABEL_SETS, label_set_of, ptb_xl_label_set
from ecg_fairseq.records.labels.label_files import (
    LabelMatrix,
    definition_columns,
    definition_text,
    label_matrix,
    read_label_files,
    read_label_names,
    weights_text,
    write_label_files,
)
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.signal.recipes import get_recipe

SPLITS = ("train", "valid", "test")


def made(raw_dataset: RawDataset, out, **more) -> Manifest:
    options = PrepareOptions(out, get_recipe("ecg_byte_beat"), progress="silent", **more)
    prepare(raw_dataset, options)
    return Manifest.load(out)


def golden_matrix(golden) -> LabelMatrix:
    with open(golden / "code_15/labels/labels.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = tuple(name for name in rows[0] if name != "idx")
    values = np.array([[float(row[name] == "True") for name in names] for row in rows])
    return LabelMatrix(names, values, ("train",) * 6 + ("valid",) * 2 + ("test",) * 2)


def test_files_equal_the_published_ones_to_the_byte(shared_dir, tmp_path):
    golden = shared_dir / "golden/ecg-fm"
    write_label_files(tmp_path, golden_matrix(golden))
    wanted = {
        "y.npy": golden / "code_15/labels/y.npy",
        "label_def.csv": golden / "label_def_6_2_2.csv",
        "pos_weight.txt": golden / "pos_weight_6_2_2.txt",
    }
    for name, path in wanted.items():
        assert (tmp_path / name).read_bytes() == path.read_bytes(), name
    assert (tmp_path / "pos_weight_finite.txt").read_text() == "[0.2,2.0,2.0,1.0,5.0,5.0,1.0,1.0]"


def toy_matrix() -> LabelMatrix:
    values = np.array([[1, 1, 0], [0, 1, 0], [np.nan] * 3, [1, 1, 0], [0, 0, 1]], dtype=float)
    return LabelMatrix(("a", "b, too", "c"), values, ("train", "train", "train", "test", ""))


def test_only_labelled_records_count():
    matrix = toy_matrix()
    assert matrix.counts() == {"test": 1, "train": 2}
    columns = definition_columns(matrix)
    assert columns["pos_count_train"] == [1, 2, 0]
    assert columns["pos_weight_train"] == [1.0, 0.0, math.inf]
    # The record without a side counts in all; the unlabelled one nowhere.
    assert columns["pos_count_all"] == [2, 3, 1]
    assert columns["pos_percent_all"] == [0.5, 0.75, 0.25]
    assert weights_text(columns) == "[1.0,0.0,inf]"
    assert weights_text(columns, finite=True) == "[1.0,1.0,1.0]"
    assert weights_text(columns, "valid") is None
    assert definition_text(matrix.names, columns).splitlines()[2].startswith('"b, too",1,2,')


def test_files_read_back(tmp_path):
    matrix = toy_matrix()
    write_label_files(tmp_path, matrix)
    names, values = read_label_files(tmp_path)
    assert names == matrix.names
    np.testing.assert_array_equal(values, matrix.values)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("y.npy", b"", "cannot be read"),
        ("y.npy", b"\x93NUMPY garbage", "cannot be read"),
        ("label_def.csv", b"", "does not start with"),
        ("label_def.csv", b"idx,a\n0,1\n", "does not start with"),
        ("label_def.csv", b"\xff\xfe\x00", "cannot be read"),
        ("label_def.csv", b"name,pos_count_all\na,1\n", "expected numbers"),
    ],
)
def test_damaged_files_are_named(tmp_path, file, content, message):
    write_label_files(tmp_path, toy_matrix())
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        read_label_files(tmp_path)


def test_a_label_set_must_have_different_labels():
    for labels in ((), ("a", "a")):
        with pytest.raises(ManifestError, match="expected at least one"):
            label_matrix(LabelSet("odd", labels, lambda row: ()), [])


def test_names_of_other_sets_are_ignored():
    rows = [RecordRow("1", "p", "train"), RecordRow("2", "q", status="skipped")]
    values = label_matrix(LabelSet("s", ("a", "b"), lambda row: {"b", "z"}), rows).values
    np.testing.assert_array_equal(values, [[0, 1], [np.nan, np.nan]])


def test_the_criterion_refuses_infinite_weights_and_takes_the_finite_ones(tmp_path):
    torch = pytest.importorskip("torch")
    from ecg_fairseq.networks.layers.classification_losses import positive_weights

    write_label_files(tmp_path, toy_matrix())

    def weights(name):
        return [float(word) for word in (tmp_path / name).read_text().strip("[]").split(",")]

    with pytest.raises(EcgError, match=r"pos_weight\[1\].*give it weight 1"):
        positive_weights(weights("pos_weight.txt"), 3)
    assert torch.equal(positive_weights(weights("pos_weight_finite.txt"), 3), torch.ones(3))


# Preparation


def test_the_preparation_writes_a_row_for_each_record(ptb_xl, tmp_path, capsys):
    folder = ptb_xl.write()
    ptb_xl.header(5).unlink()
    ptb_xl.row(2)["scp_codes"] = "{'SR': 0.0}"
    ptb_xl.write_tables()
    raw_dataset = ptb_xl_dataset(folder, label_set=ptb_xl_label_set(folder, "superclass"))
    manifest = made(raw_dataset, tmp_path / "m")
    names, values = read_label_files(tmp_path / "m/labels")
    assert names == ("NORM", "MI")
    records = list(manifest.records.values())
    assert values.shape == (len(records), 2)
    for row, line in zip(records, values, strict=True):
        if row.record_id in ("2", "5"):
            assert np.isnan(line).all()
        else:
            assert line.tolist() == ([0, 1] if int(row.record_id) % 3 == 0 else [1, 0])
    assert manifest.meta["labels"] == {
        "set": "superclass",
        "names": ["NORM", "MI"],
        "labelled": {"train": 6, "valid": 2, "test": 2},
    }
    assert "pos_weight" not in capsys.readouterr().err


def test_labels_without_positives_are_told(ptb_xl, tmp_path, capsys):
    folder = ptb_xl.write()
    for row in ptb_xl.rows[:8]:
        row["scp_codes"] = "{'NORM': 100.0}"
    ptb_xl.write_tables()
    raw_dataset = ptb_xl_dataset(folder, label_set=ptb_xl_label_set(folder, "superclass"))
    made(raw_dataset, tmp_path / "m")
    assert (tmp_path / "m/labels/pos_weight.txt").read_text() == "[0.0,inf]"
    assert (tmp_path / "m/labels/pos_weight_finite.txt").read_text() == "[1.0,1.0]"
    told = capsys.readouterr().err
    assert "NORM, MI" in told
    assert "pos_weight_finite.txt" in told


def test_another_label_set_replaces_the_files(ptb_xl, tmp_path):
    folder = ptb_xl.write()
    whole = ptb_xl_dataset(folder, label_set=ptb_xl_label_set(folder, "all"))
    made(whole, tmp_path / "m")
    assert read_label_names(tmp_path / "m/labels/label_def.csv") == ("NORM", "IMI", "SR")
    made(ptb_xl_dataset(folder, label_set=ptb_xl_label_set(folder, "rhythm")), tmp_path / "m")
    assert read_label_names(tmp_path / "m/labels/label_def.csv") == ("SR",)
    assert "labels" not in made(ptb_xl_dataset(folder), tmp_path / "m").meta
    assert not (tmp_path / "m/labels").exists()
    made(whole, tmp_path / "m")
    (tmp_path / "m/labels/mine.txt").write_text("precious")
    made(ptb_xl_dataset(folder), tmp_path / "m")
    assert [path.name for path in (tmp_path / "m/labels").iterdir()] == ["mine.txt"]


# PTB-XL's sets


def test_real_label_sets_have_the_published_sizes(shared_dir):
    statements = read_scp_statements(shared_dir / "data/ptb-xl")
    sizes = {name: len(label_set_of(name, statements).labels) for name in LABEL_SETS}
    assert sizes == {
        "superclass": 5,
        "subclass": 23,
        "diagnostic": 44,
        "form": 19,
        "rhythm": 12,
        "all": 71,
    }
    assert label_set_of("all", statements).labels[:3] == ("NDT", "NST_", "DIG")
    assert label_set_of("superclass", statements).labels == ("STTC", "NORM", "MI", "HYP", "CD")


def test_a_listed_code_counts_whatever_its_likelihood(ptb_xl):
    folder = ptb_xl.write()
    row = RecordRow("1", "p", labels_json='{"scp_codes": {"SR": 0.0, "IMI": 15.0, "???": 100}}')
    found = {name: ptb_xl_label_set(folder, name).positives(row) for name in LABEL_SETS}
    assert found["rhythm"] == {"SR"}
    assert found["all"] == {"SR", "IMI"}
    assert found["superclass"] == {"MI"}
    assert found["form"] is None
    assert ptb_xl_label_set(folder, "all").positives(RecordRow("2", "p")) is None
    assert ptb_xl_label_set(folder, "none") is None
    with pytest.raises(ManifestError, match="--label-set 'nix'"):
        ptb_xl_label_set(folder, "nix")
