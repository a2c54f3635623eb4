"""Columns of texts and finding in them, compared with lists and dicts, also where keys collide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.readers.text_column import TextColumn, TextIndex, first_fields

texts = st.lists(
    st.sampled_from(["", "a", "b", "ab", "ba", "0", "00", "ä", "日本", "x" * 90, "a\0"])
)


def column_of(values: list[str], is_colliding: bool) -> TextColumn:
    column = TextColumn.of_texts(values)
    if is_colliding:
        column.keys = np.zeros_like(column.keys)
    return column


@settings(max_examples=200, deadline=None)
@given(texts, texts, st.booleans())
def test_columns_behave_like_lists(values, others, is_colliding):
    column, other = column_of(values, is_colliding), column_of(others, is_colliding)
    assert list(column.texts()) == values
    assert [column.text(place) for place in range(len(column))] == values
    assert list(TextColumn.joined([column, other]).texts()) == values + others
    assert column.first_places().tolist() == [values.index(text) for text in values]
    index = TextIndex(column)
    wanted = [values.index(text) if text in values else -1 for text in others]
    assert index.find(other).tolist() == wanted
    if not is_colliding:
        assert [index.place(text) for text in others] == wanted
    size = min(len(values), len(others))
    places = np.arange(size)
    equal = column.are_equal(places, other, places)
    assert equal.tolist() == [a == b for a, b in zip(values, others, strict=False)]


def test_texts_are_cut_out_of_bytes():
    content = np.frombuffer("zoë,ab,,c".encode(), dtype=np.uint8)
    column = TextColumn.cut_from(content, np.array([0, 5, 8, 9]), np.array([4, 7, 8, 10]))
    assert list(column.texts()) == ["zoë", "ab", "", "c"]
    assert column.keys.tolist() == TextColumn.of_texts(["zoë", "ab", "", "c"]).keys.tolist()
    assert list(column.texts(np.array([3, 0]))) == ["c", "zoë"]


def test_a_long_text_among_short_ones_needs_little_memory():
    values = ["a"] * 30_000 + ["b" * 200_000]
    column = TextColumn.of_texts(values)
    assert TextIndex(column).place("b" * 200_000) == 30_000


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_first_fields_of_a_list(tmp_path, end):
    path = tmp_path / "train.tsv"
    path.write_bytes(f"/root{end}a.npy:1\t5{end}{end}b{end}c\t1\t2".encode())
    assert list(first_fields(path).texts()) == ["a.npy:1", "b", "c"]
    with pytest.raises(ManifestError, match="cannot be read"):
        first_fields(tmp_path / "absent.tsv")
