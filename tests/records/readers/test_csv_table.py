"""The one reader of CSV tables: cells stay texts, and lines keep their number of cells."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_fairseq.errors import ManifestError, ScoreError
from ecg_fairseq.records.readers.csv_table import read_csv_lines

cells = st.text(alphabet='a0,"; \n\réNA', max_size=6)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(cells, min_size=2, max_size=4), min_size=1))
def test_what_was_written_comes_back(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    stream = io.StringIO()
    csv.writer(stream).writerows(lines)
    path.write_bytes(stream.getvalue().encode())
    assert list(read_csv_lines(path, "table")) == lines


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_ids_stay_texts_and_short_lines_short(tmp_path, mark):
    path = tmp_path / "x.csv"
    path.write_bytes(mark + b"record_id,AF\r\n\r\n00123,NA\n007\n1e5,1.0,\n")
    lines = list(read_csv_lines(path, "table"))
    assert lines == [["record_id", "AF"], ["00123", "NA"], ["007"], ["1e5", "1.0", ""]]


def test_errors_name_table_and_file(tmp_path):
    with pytest.raises(ManifestError, match=r"label table .*no\.csv cannot be read"):
        list(read_csv_lines(tmp_path / "no.csv", "label table"))
    (tmp_path / "x.csv").write_bytes(b"a,\xff\n")
    with pytest.raises(ScoreError, match=r"weights .*x\.csv cannot be read: .*; copy it again"):
        list(read_csv_lines(tmp_path / "x.csv", "weights", ScoreError, "; copy it again"))
