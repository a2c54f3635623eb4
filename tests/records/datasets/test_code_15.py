"""CODE-15%: both forms of the dataset, the published examples to the last bit, damaged tables."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.records.datasets.code_15 import LABEL_SETS, Code15Choice, code_15_dataset
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.prevalence import label_prevalence
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts.code_15 import write_layout
from ecg_fairseq.signal.recipes import get_recipe

SETTINGS = CohortSettings(patients=40, seed=3)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code_15")
    assert write_layout(folder, SETTINGS)["parts"] == 3
    return folder


def made(folder: Path, out: Path, recipe: str = "ecg_fm", **choice) -> Manifest:
    raw_dataset = code_15_dataset(folder, Code15Choice(**choice))
    prepare(raw_dataset, PrepareOptions(out, get_recipe(recipe), progress="silent"))
    return Manifest.load(out)


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "exams.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# The published examples ---------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["ecg_fm", "ecg_fm_reference"])
@pytest.mark.parametrize(
    ("folder", "records", "segments"), [("data/code-15", 7, 10), ("golden/ecg-fm/code_15", 10, 14)]
)
def test_published_examples_to_the_last_bit(
    shared_dir, tmp_path, recipe, folder, records, segments
):
    manifest = made(shared_dir / folder, tmp_path / "m", recipe)
    assert manifest.meta["counts"]["records"] == records
    assert manifest.meta["counts"]["skipped"] == 10 - records
    compared = 0
    for path in (shared_dir / "golden/ecg-fm/code_15/segmented").glob("*.mat"):
        exam_id, number = path.stem.split("_")[-2:]
        if manifest.records[exam_id].is_ok:
            wanted = scipy.io.loadmat(path)["feats"].astype(np.float32)
            np.testing.assert_array_equal(manifest.segment(exam_id, int(number)), wanted)
            compared += 1
    assert compared == manifest.meta["counts"]["segments"] == segments


def test_published_label_files(shared_dir, tmp_path):
    golden = shared_dir / "golden/ecg-fm"
    lines = [
        "idx,split",
        *(f"{i},{'train' if i < 6 else 'valid' if i < 8 else 'test'}" for i in range(10)),
    ]
    (tmp_path / "split.csv").write_text("\n".join(lines) + "\n")
    folder = golden / "code_15"
    made(folder, tmp_path / "m", split="file", split_file=tmp_path / "split.csv")
    labels = tmp_path / "m" / "labels"
    wanted = np.load(folder / "labels/y.npy")
    np.testing.assert_array_equal(np.load(labels / "y.npy"), wanted)
    assert (labels / "label_def.csv").read_text() == (golden / "label_def_6_2_2.csv").read_text()
    assert (labels / "pos_weight.txt").read_text() == (golden / "pos_weight_6_2_2.txt").read_text()


def test_the_split_beside_the_examples_makes_a_test_set_only(shared_dir, tmp_path, capsys):
    manifest = made(shared_dir / "golden/ecg-fm/code_15", tmp_path / "m", split="file")
    assert {row.split for row in manifest.records.values()} == {"test"}
    assert manifest.meta["statistics"]["num_values"] == 0
    assert "for evaluation only" in capsys.readouterr().err


# The published layout -----------------------------------------------------------------------------


@pytest.mark.slow
def test_any_number_of_workers_writes_the_same_layout(layout, tmp_path):
    write_layout(tmp_path / "two", SETTINGS, workers=2)
    assert contents(tmp_path / "two") == contents(layout)
    with pytest.raises(EcgError, match="rates of its own"):
        write_layout(tmp_path / "three", CohortSettings(patients=2, fs_hz=400))


def test_the_layout_has_the_quirks_of_the_published_one(layout):
    rows = {row["exam_id"]: row for row in table(layout)}
    seen, lengths = [], set()
    for part in layout.glob("*.hdf5"):
        with h5py.File(part) as file:
            exam_ids, tracings = file["exam_id"][:].tolist(), file["tracings"][:]
        assert tracings.shape == (len(exam_ids), 4096, 12)
        assert exam_ids[-1] == 0
        assert not tracings[-1].any()
        used = (tracings[:-1] != 0).any(axis=2).sum(axis=1)
        lengths |= set(used.tolist())
        seen += exam_ids[:-1]
        files = {rows[str(exam_id)]["trace_file"] for exam_id in exam_ids[:-1]}
        assert files == {part.name, ""}
    assert sorted(map(str, seen)) == sorted(rows)
    assert lengths == {0, 2800, 4000}
    assert [row for row in rows.values() if row["death"] == ""]


def test_exams_are_found_by_id_and_padding_is_taken_off(layout, tmp_path):
    manifest = made(layout, tmp_path / "m")
    rows = table(layout)
    assert list(manifest.records) == [row["exam_id"] for row in rows]
    skipped = [row for row in manifest.records.values() if not row.is_ok]
    assert len(skipped) == 1
    assert "all zeros" in skipped[0].reason
    assert set(label_prevalence(manifest)) == {"columns", "diagnoses"}
    y = np.load(tmp_path / "m/labels/y.npy")
    for number, row in enumerate(rows):
        record = manifest.records[row["exam_id"]]
        if not record.is_ok:
            assert np.isnan(y[number]).all()
            continue
        assert record.patient_id == row["patient_id"]
        assert record.sex == ("male" if row["is_male"] == "True" else "female")
        assert y[number].tolist() == [row[name] == "True" for name in LABEL_SETS["code_15"]]
        part, _, place = record.source.rpartition(":")
        with h5py.File(layout / part) as file:
            assert str(file["exam_id"][int(place)]) == row["exam_id"]
            used = (file["tracings"][int(place)] != 0).any(axis=1).sum()
        # 4000 samples are two windows of 5 s, 2800 are one.
        assert record.num_segments == {4000: 2, 2800: 1}[int(used)]
    assert {row.num_segments for row in manifest.records.values() if row.is_ok} == {1, 2}


def test_parts_that_are_not_downloaded(layout, tmp_path, capsys):
    folder = tmp_path / "raw"
    shutil.copytree(layout, folder)
    (folder / "exams_part1.hdf5").unlink()
    raw_dataset = code_15_dataset(folder, Code15Choice(label_set="code_15_diagnoses"))
    assert raw_dataset.label_set.labels == LABEL_SETS["code_15_diagnoses"]
    absent = raw_dataset.notes["exams_of_absent_parts"]
    assert absent > 0
    assert f"{absent} exams are of 1 parts that" in capsys.readouterr().err
    # Later exams of a patient do not say in which part they are.
    assert {reason for *_, reason in raw_dataset.left_out} == {"there is no tracing of this exam"}
    assert len(raw_dataset.sources) + len(raw_dataset.left_out) + absent == 64


@pytest.mark.parametrize("column", ["exam_id", "save_file", "idx"])
def test_a_split_file_of_fairseq_signals(layout, tmp_path, column):
    names = {
        "exam_id": [row["exam_id"] for row in table(layout)],
        "save_file": [f"code_15_{row['exam_id']}.mat" for row in table(layout)],
        "idx": list(map(str, range(64))),
    }[column]
    lines = [f"{name},{'test' if n < 10 else 'train'}" for n, name in enumerate(names[:50])]
    (tmp_path / "s.csv").write_text(f"{column},split\n" + "\n".join(lines) + "\n")
    raw_dataset = code_15_dataset(layout, Code15Choice(split="file", split_file=tmp_path / "s.csv"))
    assert [source.split for source in raw_dataset.sources] == ["test"] * 10 + ["train"] * 40
    assert {reason for *_, reason in raw_dataset.left_out} == {"the split file gives it no side"}


def test_the_script(layout, tmp_path, project_dir):
    command = [sys.executable, str(project_dir / "manifests/code_15.py"), str(layout)]
    command += ["--out", str(tmp_path / "m"), "--recipe", "ecg_fm", "--fraction", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert 10 < summary["records"] < 50
    assert len((tmp_path / "m/cmsc/train.tsv").read_text().splitlines()) > 5


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_damaged_folders(layout, tmp_path):
    def refused(message: str, **choice) -> None:
        with pytest.raises(ManifestError, match=message):
            code_15_dataset(folder, Code15Choice(**choice))

    folder = tmp_path / "raw"
    refused("folder not found")
    folder.mkdir()
    refused("neither exams.csv")
    shutil.copy(layout / "exams.csv", folder)
    refused(r"no exams_part\*.hdf5")
    shutil.copy(layout / "exams_part0.hdf5", folder)
    refused("split file not found", split="file")
    refused("--split 'x'", split="x")
    refused("--label-set 'x'", label_set="x")
    (folder / "meta_split.csv").write_text("save_file,split\na.mat,test\n")
    refused("none of the exams", split="file")
    (folder / "meta_split.csv").write_text("file,split\na.mat,test\n")
    refused("expected split and one of exam_id", split="file")
    (folder / "meta_split.csv").write_text("exam_id,split\n1,exam\n")
    refused("split 'exam'; expected one of", split="file")
    shutil.copy(layout / "exams_part0.hdf5", folder / "exams_part1.hdf5")
    refused("is in exams_part0.hdf5 row 0 and in exams_part1.hdf5 row 0")
    (folder / "exams_part1.hdf5").write_bytes(b"no HDF5")
    refused("not a whole HDF5 file")
    (folder / "exams_part1.hdf5").unlink()
    changed(folder / "exams.csv", ",False", ",perhaps")
    refused("holds 'perhaps'; expected True, False")
    changed(folder / "exams.csv", "RBBB", "rbbb")
    refused("has no column RBBB")


def test_save_files_stay_in_their_folder(shared_dir, tmp_path):
    folder = tmp_path / "raw"
    shutil.copytree(shared_dir / "data/code-15", folder)
    changed(folder / "meta.csv", "code_15_438277.mat", "../../../etc/passwd")
    with pytest.raises(ManifestError, match="expected the name of a"):
        code_15_dataset(folder, Code15Choice())
