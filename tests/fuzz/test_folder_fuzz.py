"""Damaged files in a folder of recordings, and damaged label tables: our errors, never a crash."""

import time
from pathlib import Path

import numpy as np
import pytest
from foreign_files import (
    TWELVE,
    made_steps,
    write_csv,
    write_hdf5,
    write_matlab4,
    write_matlab5,
    write_muse,
)
from mutation import mutated

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.labels.label_files import LabelMatrix, read_label_files, write_label_files
from ecg_fairseq.records.preparation.raw_dataset import RawDataset, with_label_table
from ecg_fairseq.records.readers.folder_search import find_records
from ecg_fairseq.records.readers.wfdb_writer import write_wfdb_record
from ecg_fairseq.records.source_record import SourceRecord

NUM_FOLDERS = 250  # of 9 files each
NUM_TABLES = 2000


def write_recordings(folder: Path) -> None:
    """Write one small recording of each kind, and a master header."""
    folder.mkdir()
    write_wfdb_record(folder / "wfdb", made_steps(12), 500, TWELVE)
    (folder / "night.hea").write_text("night/2 12 500 400\nwfdb 200\nwfdb 200\n")
    write_matlab4(folder / "challenge.mat", made_steps(12))
    write_matlab5(folder / "signals.mat", made_steps(12) / 1000.0)
    write_csv(folder / "sheet.csv", made_steps(12) / 1000.0, TWELVE, 500.0)
    write_muse(folder / "muse.xml", made_steps(8))
    write_hdf5(folder / "exams.hdf5", np.ones((3, 200, 12)))


@pytest.mark.slow
def test_damaged_folders_are_searched(tmp_path):
    write_recordings(tmp_path / "sound")
    contents = {path.name: path.read_bytes() for path in (tmp_path / "sound").iterdir()}
    folder = tmp_path / "damaged"
    folder.mkdir()
    generator = np.random.default_rng(0)
    slowest = 0.0
    for _ in range(NUM_FOLDERS):
        for name, content in contents.items():
            (folder / name).write_bytes(mutated(content, generator))
        start = time.perf_counter()
        found = find_records(folder)
        slowest = max(slowest, time.perf_counter() - start)
        # Headers are listed whatever they hold, unless another header takes them in.
        assert {"challenge", "night"} <= set(found.records)
        assert len(found.records) + sum(found.others.values()) <= len(contents) + 2
    assert slowest < 2.0


@pytest.mark.slow
def test_damaged_label_tables(tmp_path):
    sources = [SourceRecord(str(number), "p", f"/d/{number}") for number in range(20)]
    cohort = RawDataset("toy", sources, "patient")
    lines = ["record_id,AF,PVC", *(f"{n},{n % 2},{n % 3 == 0:d}" for n in range(20))]
    sound = "\n".join(lines).encode()
    generator = np.random.default_rng(1)
    path = tmp_path / "table.csv"
    num_read, messages = 0, []
    for _ in range(NUM_TABLES):
        path.write_bytes(mutated(sound, generator, [b",", b'"', b"\n", b"0", b"1", b"\xff"]))
        try:
            found = with_label_table(cohort, path)
        except ManifestError as error:
            messages.append(str(error))
        else:
            num_read += 1
            assert found.label_set.labels
    assert 0 < num_read < NUM_TABLES
    assert all("table.csv" in message for message in messages)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["y.npy", "label_def.csv"])
def test_damaged_label_files(tmp_path, name):
    values = (np.arange(40).reshape(20, 2) % 3 == 0).astype(float)
    write_label_files(tmp_path, LabelMatrix(("AF", "PVC"), values, ("train",) * 20))
    sound = (tmp_path / name).read_bytes()
    generator = np.random.default_rng(2)
    num_read, messages = 0, []
    for _ in range(NUM_TABLES):
        (tmp_path / name).write_bytes(mutated(sound, generator, [b",", b'"', b"\n", b"9"]))
        try:
            names, found = read_label_files(tmp_path)
        except ManifestError as error:
            messages.append(str(error))
        else:
            num_read += 1
            assert found.shape[1] == len(names)
    assert 0 < num_read < NUM_TABLES
    assert all(str(tmp_path) in message for message in messages)
