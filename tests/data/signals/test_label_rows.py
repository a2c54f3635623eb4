"""Label files y.npy: which are opened, which refused, and which rows have a label."""

from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.data.signals.label_rows import check_labels, has_label, load_labels
from ecg_fairseq.errors import ManifestError


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", "bool"])
def test_numbers_are_mapped_not_read(tmp_path: Path, dtype: str) -> None:
    values = np.array([[0, 1, 1], [1, 0, 0]], dtype=dtype)
    np.save(tmp_path / "y.npy", values)
    labels = load_labels(tmp_path / "y.npy")
    assert isinstance(labels, np.memmap)
    assert labels.dtype == dtype
    np.testing.assert_array_equal(labels, values)


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "y.npy"
    with pytest.raises(ManifestError, match=r"y\.npy cannot be opened.*MANIFEST_DIR/labels/y\.npy"):
        load_labels(path)
    np.save(path, np.zeros((100, 3)))
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:50], whole[:-8]):
        path.write_bytes(content)
        with pytest.raises(ManifestError, match=r"y\.npy cannot be opened"):
            load_labels(path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ManifestError, match=r"y\.npy cannot be opened"):
        load_labels(path)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.zeros(4), r"float64 of shape \(4,\)"),
        (np.zeros((2, 3, 1)), r"float64 of shape \(2, 3, 1\)"),
        (np.array([["yes", "no"]]), r"<U3 of shape \(1, 2\)"),
        (np.zeros((2, 2), dtype="complex64"), r"complex64 of shape \(2, 2\)"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(
    tmp_path: Path, values: np.ndarray, told: str
) -> None:
    np.save(tmp_path / "y.npy", values)
    with pytest.raises(ManifestError, match=rf"y\.npy holds {told}; expected numbers, one row"):
        load_labels(tmp_path / "y.npy")


def test_lists_and_archives_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"^the label array holds list of shape \(1, 2\)"):
        check_labels([[0, 1]])  # type: ignore[arg-type]
    np.savez(tmp_path / "y.npz", values=np.zeros((2, 2)))
    with pytest.raises(ManifestError, match=r"y\.npz holds NpzFile"):
        load_labels(tmp_path / "y.npz")


def test_a_row_with_any_nan_has_no_label() -> None:
    values = np.array([[0.0, 1.0], [np.nan, 1.0], [np.nan, np.nan], [1.0, 0.0]])
    assert has_label(values).tolist() == [True, False, False, True]
    assert has_label(np.zeros((3, 2), dtype=np.int8)).tolist() == [True] * 3
    assert has_label(np.zeros((0, 2))).tolist() == []
