"""The parity module for fairseq-signals' label files: all equal, and any change is a FAIL."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))

from parity_systems import ecg_fm_labels

PUBLISHED = {
    "code_15/labels/y.npy",
    "code_15/labels/label_def.csv",
    "code_15/labels/6_2_2/label_def_6_2_2.csv",
    "code_15/labels/6_2_2/pos_weight_6_2_2.txt",
}


@pytest.fixture
def case(shared_dir, tmp_path) -> Path:
    """A copy of the published label files, without the recordings."""
    golden = shared_dir / "golden/ecg-fm"
    shutil.copytree(golden / "code_15/labels", tmp_path / "code_15/labels")
    for name in ("code_15/meta_split.csv", "label_def_6_2_2.csv", "pos_weight_6_2_2.txt"):
        shutil.copyfile(golden / name, tmp_path / name)
    return tmp_path


def failed(case: Path) -> set[str]:
    return {check.name for check in ecg_fm_labels.checks(case) if not check.ok}


def test_all_equal_the_published_files(case):
    assert {check.name for check in ecg_fm_labels.checks(case)} == PUBLISHED
    assert failed(case) == set()


def test_a_tree_with_its_own_weights_is_compared_whole(case):
    table = (case / "code_15/meta_split.csv").read_text().splitlines()
    sides = ["split", *["train"] * 6, *["valid"] * 2, *["test"] * 2]
    rows = [f"{line.rpartition(',')[0]},{side}\n" for line, side in zip(table, sides, strict=True)]
    (case / "code_15/meta_split.csv").write_text("".join(rows))
    for kind, end in (("label_def", "csv"), ("pos_weight", "txt")):
        shutil.copyfile(case / f"{kind}_6_2_2.{end}", case / f"code_15/labels/{kind}.{end}")
    names = {check.name for check in ecg_fm_labels.checks(case)}
    assert names == PUBLISHED | {"code_15/labels/pos_weight.txt"}
    assert failed(case) == set()
    shifted = "".join(rows).replace(",valid", ",train", 1)
    (case / "code_15/meta_split.csv").write_text(shifted)
    assert failed(case) == {"code_15/labels/label_def.csv", "code_15/labels/pos_weight.txt"}


@pytest.mark.parametrize(
    ("file", "old", "new", "names"),
    [
        ("label_def_6_2_2.csv", "2.0000000000000004", "2.0000000000000009", "label_def_6_2_2.csv"),
        ("label_def_6_2_2.csv", "inf", "1.0", "label_def_6_2_2.csv"),
        ("label_def_6_2_2.csv", "LBBB", "LBBC", "label_def_6_2_2.csv"),
        ("pos_weight_6_2_2.txt", "inf", "1.0", "pos_weight_6_2_2.txt"),
        ("pos_weight_6_2_2.txt", "0.2", "0.3", "pos_weight_6_2_2.txt"),
        ("pos_weight_6_2_2.txt", "0.2,", "", "pos_weight_6_2_2.txt"),
        ("code_15/labels/label_def.csv", "RBBB", "RBBX", "labels/label_def.csv"),
    ],
)
def test_one_changed_cell_fails(case, file, old, new, names):
    text = (case / file).read_text()
    assert old in text
    (case / file).write_text(text.replace(old, new, 1))
    assert len(found := failed(case)) == 1
    assert found.pop().endswith(names)


def test_one_changed_label_fails(case):
    path = case / "code_15/labels/y.npy"
    values = np.load(path)
    for changed in (1 - values[3, 2], np.nan):
        other = values.copy()
        other[3, 2] = changed
        np.save(path, other)
        assert failed(case) == {"code_15/labels/y.npy"}
    np.save(path, values[:9])
    assert failed(case) == {"code_15/labels/y.npy"}
    np.save(path, values)
    table = case / "code_15/labels/labels.csv"
    table.write_text(table.read_text().replace("0,True,True", "0,False,True", 1))
    assert failed(case) == PUBLISHED - {"code_15/labels/label_def.csv"}


def test_recordings_without_a_line_are_zeros(case):
    table = case / "code_15/labels/labels.csv"
    lines = table.read_text().splitlines()
    del lines[4]
    table.write_text("\n".join(lines))
    values = np.load(case / "code_15/labels/y.npy")
    values[3] = 0.0
    np.save(case / "code_15/labels/y.npy", values)
    for name in ("label_def_6_2_2.csv", "pos_weight_6_2_2.txt"):
        (case / name).unlink()
    assert failed(case) == set()


def test_folders_without_label_files_yield_nothing(tmp_path):
    assert list(ecg_fm_labels.checks(tmp_path)) == []
