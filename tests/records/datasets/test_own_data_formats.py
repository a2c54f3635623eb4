"""A folder of recordings in every format: each is found once, and nothing else is taken for one."""

import csv
import json
import os

import numpy as np
import pytest
from foreign_files import (
    EIGHT,
    TWELVE,
    made_steps,
    write_csv,
    write_dicom,
    write_hdf5,
    write_matlab4,
    write_matlab5,
    write_muse,
)

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.own_data import OwnData, own_dataset, own_label_set
from ecg_fairseq.records.labels.label_files import read_label_files
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.records.readers.folder_search import find_records
from ecg_fairseq.records.readers.wfdb_writer import write_wfdb_record
from ecg_fairseq.signal.recipes import get_recipe

NUM_SAMPLES = 5000


def steps_of(seed: int) -> np.ndarray:
    return made_steps(12, NUM_SAMPLES, seed)


def write_every_format(folder) -> list[str]:
    """Write one recording of each kind (two in the HDF5 part); return the names to expect."""
    (folder / "clinic").mkdir(parents=True)
    write_wfdb_record(folder / "wfdb_record", steps_of(1), 500, TWELVE)
    write_matlab4(folder / "challenge.mat", steps_of(2))
    write_matlab5(folder / "signals.mat", steps_of(3) / 1000.0)
    np.save(folder / "array.npy", steps_of(4) / 1000.0)
    (folder / "array.json").write_text(json.dumps({"leads": list(TWELVE), "fs_hz": 500}))
    write_csv(folder / "sheet.csv", steps_of(5) / 1000.0, TWELVE, 500.0)
    write_muse(folder / "clinic/muse.xml", made_steps(len(EIGHT), NUM_SAMPLES, 6))
    signals = np.stack([steps_of(seed).T / 1000.0 for seed in (7, 8, 9)])
    signals[2] = 0.0
    write_hdf5(folder / "exams_part0.hdf5", signals)
    import h5py

    with h5py.File(folder / "exams_part0.hdf5", "r+") as file:
        file["exam_id"][2] = 0
    names = ["array", "challenge", "clinic/muse", "exams_part0/1000", "exams_part0/1001"]
    return [*names, "sheet", "signals", "wfdb_record"]


def write_other_files(folder) -> dict[str, int]:
    """Write what lies about in such folders; return what is to be counted."""
    (folder / "RECORDS").write_text("wfdb_record\n")
    (folder / "README.md").write_text("# ECGs\n")
    (folder / "labels.csv").write_text("record_id,AF\nwfdb_record,1\n")
    (folder / "numbers.csv").write_text("1,2,3\n4,5,6\n")
    np.save(folder / "y.npy", np.zeros((8, 2)))
    (folder / "settings.json").write_text("{}")
    (folder / "clinic/notes.XML").write_text("<?xml version='1.0'?><letter>Dear doctor</letter>")
    (folder / "wfdb_record.atr").write_bytes(b"\0\1\2\3")
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "._wfdb_record.hea").write_bytes(b"\0\5\x16\7")
    return {".atr": 1, ".csv": 2, ".json": 1, ".md": 1, ".npy": 1, ".xml": 1, "RECORDS": 1}


def test_each_recording_is_found_once(tmp_path):
    names = write_every_format(tmp_path)
    others = write_other_files(tmp_path)
    found = find_records(tmp_path)
    assert list(found.records) == sorted(names)
    assert found.others == others


def test_dicom_waveforms_are_recordings_and_images_are_not(tmp_path):
    pytest.importorskip("pydicom")
    write_dicom(tmp_path / "ecg.dcm", steps_of(1)[:, :500], TWELVE)
    content = (tmp_path / "ecg.dcm").read_bytes()
    waveform = b"1.2.840.10008.5.1.4.1.1.9.1.1"
    assert waveform in content
    image = b"1.2.840.10008.5.1.4.1.1.7".ljust(len(waveform), b"\0")
    (tmp_path / "scan.dcm").write_bytes(content.replace(waveform, image))
    found = find_records(tmp_path)
    assert (list(found.records), found.others) == (["ecg"], {".dcm": 1})


def test_all_formats_are_prepared(tmp_path, capsys):
    names = write_every_format(tmp_path / "own")
    others = write_other_files(tmp_path / "own")
    recipe = get_recipe("ecg_byte_10s")
    prepare(
        own_dataset(OwnData(tmp_path / "own")),
        PrepareOptions(tmp_path / "m", recipe, progress="silent"),
    )
    manifest = Manifest.load(tmp_path / "m")
    assert sorted(manifest.records) == sorted(names)
    assert all(row.is_ok for row in manifest.records.values())
    assert manifest.meta["files_not_used"] == others
    assert "no recordings: 1 .atr, 2 .csv" in capsys.readouterr().err
    rates = {name: row.fs_hz for name, row in manifest.records.items()}
    assert rates["exams_part0/1000"] == rates["signals"] == 400
    assert rates["clinic/muse"] == rates["array"] == 500


def test_damaged_recordings_are_listed_and_skipped_with_a_reason(tmp_path):
    own = tmp_path / "own"
    write_every_format(own)
    for name in ("array.npy", "exams_part0.hdf5", "signals.mat", "wfdb_record.dat"):
        content = (own / name).read_bytes()
        (own / name).write_bytes(content[: len(content) // 2])
    (own / "challenge.hea").unlink()
    options = PrepareOptions(
        tmp_path / "m", get_recipe("ecg_byte_10s"), progress="silent", max_skip_fraction=0.9
    )
    prepare(own_dataset(OwnData(own)), options)
    rows = Manifest.load(tmp_path / "m").records
    assert sorted(name for name, row in rows.items() if row.is_ok) == ["clinic/muse", "sheet"]
    assert "header challenge.hea" in rows["challenge"].reason
    assert "cut off" in rows["exams_part0"].reason


def test_segments_of_a_long_record_are_no_records_of_their_own(tmp_path):
    write_wfdb_record(tmp_path / "part1", steps_of(1), 500, TWELVE)
    write_wfdb_record(tmp_path / "part2", steps_of(2), 500, TWELVE)
    (tmp_path / "whole.hea").write_text("# night\nwhole/2 12 500 10000\npart1 5000\npart2 5000\n")
    (tmp_path / "loop.hea").write_text("loop/1 12 500 5000\nloop 5000\n")
    assert list(find_records(tmp_path).records) == ["loop", "whole"]


def test_a_header_may_name_other_signal_files(tmp_path):
    write_wfdb_record(tmp_path / "rec", steps_of(1), 500, TWELVE)
    (tmp_path / "rec.dat").rename(tmp_path / "values.csv")
    text = (tmp_path / "rec.hea").read_text().replace("rec.dat", "values.csv")
    (tmp_path / "rec.hea").write_text(text)
    found = find_records(tmp_path)
    assert (list(found.records), found.others) == (["rec"], {})


def test_two_recordings_of_one_name_keep_their_extension(tmp_path):
    write_matlab5(tmp_path / "a.mat", steps_of(1) / 1000.0)
    write_muse(tmp_path / "a.xml", made_steps(8, NUM_SAMPLES))
    write_matlab5(tmp_path / "b.mat", steps_of(2) / 1000.0)
    assert list(find_records(tmp_path).records) == ["a.mat", "a.xml", "b"]
    table = tmp_path / "labels.csv"
    table.write_text("record_id,AF\na.mat,1\na.xml,0\nb.mat,1\n")
    raw_dataset = own_dataset(OwnData(tmp_path, labels=table))
    assert [source.record_id for source in raw_dataset.sources] == ["a.mat", "a.xml", "b"]


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path):
    (tmp_path / "store").mkdir()
    write_wfdb_record(tmp_path / "store/rec", steps_of(1), 500, TWELVE)
    (tmp_path / "own").mkdir()
    os.symlink(tmp_path / "store/rec.hea", tmp_path / "own/linked.hea")
    os.symlink(tmp_path / "store", tmp_path / "own/folder")
    os.symlink(tmp_path / "own", tmp_path / "own/loop")
    os.symlink(tmp_path / "nowhere", tmp_path / "own/dead.xml")
    found = find_records(tmp_path / "own")
    assert list(found.records) == ["linked"]
    assert found.records["linked"].path == tmp_path.resolve() / "store/rec"


def test_lines_name_recordings_by_exam_id_stem_or_path(tmp_path):
    write_every_format(tmp_path / "own")
    table = tmp_path / "labels.csv"
    table.write_text("record_id,AF\n1001,1\nmuse.xml,0\nchallenge.mat,1\nsheet,0\n")
    raw_dataset = own_dataset(OwnData(tmp_path / "own", labels=table))
    assert [source.record_id for source in raw_dataset.sources] == [
        "challenge",
        "clinic/muse",
        "exams_part0/1001",
        "sheet",
    ]
    table.write_text("record_id,AF\nchallenge.mat,1\nchallenge,1\n")
    with pytest.raises(ManifestError, match="occurs twice"):
        own_dataset(OwnData(tmp_path / "own", labels=table))


def test_a_folder_without_recordings_says_what_it_holds(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/README.md").write_text("none yet")
    with pytest.raises(ManifestError, match=r"no recording .*files: 1 \.md.*MUSE"):
        own_dataset(OwnData(tmp_path / "own"))


def test_columns_of_0_and_1_become_the_label_set(tmp_path):
    np.save(tmp_path / "ecgs.npy", np.stack([steps_of(seed) for seed in range(4)]) / 1000.0)
    rows = [
        {"record_id": f"r{i}", "sex": "female", "AF": i % 2, "rhythm": ["sinus", "AF"][i % 2]}
        for i in range(4)
    ]
    rows = [
        {**row, "old": ["True", "False", "1", "0"][i], "stage": i} for i, row in enumerate(rows)
    ]
    table = tmp_path / "labels.csv"
    with open(table, "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    raw_dataset = own_dataset(OwnData(tmp_path / "ecgs.npy", fs_hz=500.0, labels=table))
    recipe = get_recipe("ecg_byte_10s")
    prepare(raw_dataset, PrepareOptions(tmp_path / "m", recipe, progress="silent"))
    names, values = read_label_files(tmp_path / "m/labels")
    assert names == ("AF", "old")
    assert values.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]
    assert Manifest.load(tmp_path / "m").meta["label_columns_not_0_1"] == ["rhythm", "stage"]


def test_without_such_columns_there_is_no_label_set():
    assert own_label_set([]) == (None, [])
    assert own_label_set([{"record_id": "1", "rhythm": "AF"}]) == (None, ["rhythm"])
    assert own_label_set([{"record_id": "1", "AF": ""}]) == (None, ["AF"])


def test_real_folders_are_searched(shared_dir):
    found = find_records(shared_dir / "data/physionet-challenge-2021/training")
    assert len(found.records) == 58
    assert found.others == {"RECORDS": 7}
    assert len(find_records(shared_dir / "data/ptb-xl").records) == 632
    code_15 = find_records(shared_dir / "data/code-15")
    assert sum(name.startswith("org/") for name in code_15.records) == 7
    assert code_15.others == {".csv": 6, ".md": 1, ".npy": 1}
