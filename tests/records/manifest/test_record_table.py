"""records.tsv opened as a table: like a dict of parsed lines, but small, quick, and checked."""

import pickle
import time
from pathlib import Path

import pytest

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.record_table import RecordTable
from ecg_fairseq.records.preparation.manifest_writer import write_records
from ecg_fairseq.records.record_row import COLUMNS, RecordRow


def row(number: int) -> RecordRow:
    return RecordRow(
        record_id=str(number),
        patient_id=f"p{number // 5}",
        split="train",
        age=60.5,
        sex="female",
        fs_hz=500.0,
        labels_json='{"ecg_time": "2180-07-23 08:44:00", "rr_interval": 659.0}' * (number % 3),
        report=f"Sinus rhythm — {number}",
        source=f"files/{number}",
        first_row=5 * number,
        num_segments=5,
    )


def table_of(folder: Path, count: int) -> Path:
    write_records(folder / "records.tsv", [row(number) for number in range(count)])
    return folder / "records.tsv"


def test_it_is_a_mapping_of_parsed_lines(tmp_path):
    table = RecordTable.open(table_of(tmp_path, 7))
    wanted = {str(number): row(number) for number in range(7)}
    assert dict(table) == wanted
    assert table == wanted
    assert list(table) == list(wanted)
    assert list(table.items()) == list(wanted.items())
    assert len(table) == 7
    assert table.end == 35
    assert "3" in table
    assert "7" not in table
    assert table.get("7") is None
    with pytest.raises(KeyError):
        table["7"]
    assert table["3"] is table["3"]


def test_another_process_opens_it_again(tmp_path):
    path = table_of(tmp_path, 7)
    table = RecordTable.open(path)
    stored = pickle.dumps(table)
    assert len(stored) < 2000
    assert dict(pickle.loads(stored)) == dict(table)
    whole = dict(table)
    table_of(tmp_path, 9)
    # What was opened stays as it was; a copy elsewhere would read other lines.
    assert dict(table) == whole
    with pytest.raises(ManifestError, match="rewritten"):
        pickle.loads(stored)


def test_a_last_line_without_its_end_is_read(tmp_path):
    path = table_of(tmp_path, 3)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    table = RecordTable.open(path)
    assert table["2"] == row(2)
    assert pickle.loads(pickle.dumps(table))["2"] == row(2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "starts with columns"),
        (lambda data: data[:40], "starts with columns"),
        (lambda data: data[:-30], "line 4: "),
        (lambda data: data.replace(b"\xe2", b"\xff", 1), "cannot be read"),
        (lambda data: data.replace(b"60.5", b"old", 1), "line 2: could not convert"),
        (lambda data: data.replace(b"\t500\t", b"\tfast\t", 1), "line 2: could not convert"),
        (lambda data: data.replace(b"\t5\t5\n", b"\tx\t5\n", 1), "line 3: invalid literal"),
        (lambda data: data + data[data.rindex(b"\n2\t") + 1 :], "line 5: 2 occurs twice"),
    ],
)
def test_every_line_is_checked_when_it_is_opened(tmp_path, damage, message):
    path = table_of(tmp_path, 3)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ManifestError, match=message):
        RecordTable.open(path)


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        RecordTable.open(tmp_path / "records.tsv")


def test_rows_beyond_the_store_are_refused(tmp_path):
    table = RecordTable.open(table_of(tmp_path, 3))
    table.check_reach(15)
    with pytest.raises(ManifestError, match="reaches to row 15, the store has 14"):
        table.check_reach(14)


def test_opening_is_much_cheaper_than_parsing(tmp_path):
    path = table_of(tmp_path, 20_000)

    def seconds(function) -> float:
        times = []
        for _ in range(3):
            start = time.process_time()
            function()
            times.append(time.process_time() - start)
        return min(times)

    table = RecordTable.open(path)
    opening, parsing = seconds(lambda: RecordTable.open(path)), seconds(lambda: parsed(path))
    assert opening < 0.75 * parsing
    assert len(table) == 20_000


def parsed(path: Path) -> list[RecordRow]:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert tuple(lines[0].split("\t")) == COLUMNS
    return [RecordRow.from_line(line, "here") for line in lines[1:]]
