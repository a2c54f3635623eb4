"""``labels/targets.npz`` and ``extra/NAME.safetensors``: read back, tied to records, damaged."""

import numpy as np
import pytest
from ecg_fm_manifest import make_ecg_fm_manifest
from safetensors.numpy import load_file, save_file

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.labels.targets import (
    RECORDS_KEY,
    Targets,
    read_extra_tensor,
    read_targets,
    records_sha256,
    write_extra_tensor,
    write_targets,
)

NUM_RECORDS = 10


@pytest.fixture
def manifest(tmp_path):
    return make_ecg_fm_manifest(tmp_path, num_patients=5)


def survival() -> Targets:
    times = np.arange(1.0, NUM_RECORDS + 1)
    events = np.arange(NUM_RECORDS) % 2
    values = np.stack([times, events], axis=1).astype(np.float32)
    values[3] = np.nan
    return Targets("survival", values)


def real() -> Targets:
    values = np.linspace(-1, 1, 2 * NUM_RECORDS).reshape(NUM_RECORDS, 2).astype(np.float32)
    return Targets("real", values, ("age", "lvef"))


@pytest.mark.parametrize("targets", [survival(), real()])
def test_targets_are_read_back(manifest, targets):
    path = manifest / "labels" / "targets.npz"
    write_targets(path, targets, manifest)
    found = read_targets(path, manifest)
    assert (found.kind, found.names) == (targets.kind, targets.names)
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, targets.values)


def test_the_file_is_as_the_contract_says(manifest):
    path = manifest / "labels" / "targets.npz"
    write_targets(path, survival(), manifest)
    with np.load(path, allow_pickle=False) as stored:
        assert str(stored["kind"]) == "survival"
        assert stored["time_days"].dtype == np.float32
        assert stored["event"].dtype == np.uint8
        assert stored["time_days"].shape == stored["event"].shape == (NUM_RECORDS,)
        assert str(stored[RECORDS_KEY]) == records_sha256(manifest)


@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8", "bool"])
def test_an_extra_tensor_is_read_back(manifest, shape, dtype):
    values = np.arange(NUM_RECORDS * int(np.prod(shape))).reshape(NUM_RECORDS, *shape)
    write_extra_tensor(manifest, "reports", values.astype(dtype))
    found = read_extra_tensor(manifest, "reports")
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, values.astype(dtype))
    stored = load_file(manifest / "extra" / "reports.safetensors")
    np.testing.assert_array_equal(stored["reports"], found)


def test_another_table_of_records_is_refused(manifest):
    path = manifest / "labels" / "targets.npz"
    write_targets(path, real(), manifest)
    write_extra_tensor(manifest, "x", np.zeros((NUM_RECORDS, 2), np.float32))
    records = manifest / "records.tsv"
    head, *lines = records.read_text().splitlines(keepends=True)
    records.write_text(head + "".join(lines[::-1]))
    with pytest.raises(ManifestError, match="its rows are of other records"):
        read_targets(path, manifest)
    with pytest.raises(ManifestError, match="its rows are of other records"):
        read_extra_tensor(manifest, "x")
    save_file({"x": np.zeros(NUM_RECORDS)}, manifest / "extra" / "x.safetensors")
    with pytest.raises(ManifestError, match="is of no table of records"):
        read_extra_tensor(manifest, "x")


def test_wrong_numbers_of_rows_are_refused(manifest):
    path = manifest / "labels" / "targets.npz"
    write_targets(path, Targets("real", np.zeros((3, 1), np.float32)), manifest)
    with pytest.raises(ManifestError, match=r"shape \(3, 1\); expected one row for each of the 10"):
        read_targets(path, manifest)
    write_extra_tensor(manifest, "x", np.zeros((3, 2), np.float32))
    with pytest.raises(ManifestError, match=r"shape \(3, 2\); expected one row for each of the 10"):
        read_extra_tensor(manifest, "x")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"values": np.zeros((4, 1))}, "is of kind ''"),
        ({"kind": "real"}, "lacks values"),
        ({"kind": "survival", "event": np.zeros(4)}, "lacks time_days"),
        ({"kind": "real", "values": np.zeros(4)}, r"shape \(4,\)"),
        ({"kind": "real", "values": np.array([[np.inf]])}, "finite numbers"),
        ({"kind": "binary", "values": np.array([[2.0]])}, "0 and 1"),
        ({"kind": "real", "values": np.zeros((4, 2)), "names": ["a"]}, "names 1 values"),
        ({"kind": "survival", "time_days": [-1.0], "event": [1]}, "time_days from 0"),
        ({"kind": "survival", "time_days": [1.0], "event": [2]}, "event 0 or 1"),
        ({"kind": "survival", "time_days": [1.0, 2.0], "event": [1]}, r"event \(1,\)"),
    ],
)
def test_damaged_targets_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "targets.npz", **arrays)
    with pytest.raises(ManifestError, match=message):
        read_targets(tmp_path / "targets.npz")


def test_files_that_are_none_are_refused(manifest, tmp_path):
    (tmp_path / "targets.npz").write_bytes(b"PK\x03\x04nonsense")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_targets(tmp_path / "targets.npz")
    with pytest.raises(ManifestError, match="has extra tensors: none"):
        read_extra_tensor(manifest, "x")
    write_extra_tensor(manifest, "x", np.zeros((NUM_RECORDS, 2), np.float32))
    path = manifest / "extra" / "x.safetensors"
    whole = path.read_bytes()
    for damaged in (b"", b"\xff" * 8, whole[:20], whole[:8] + b"[" + whole[9:], whole[:-5]):
        path.write_bytes(damaged)
        with pytest.raises(ManifestError, match="cannot be read as safetensors"):
            read_extra_tensor(manifest, "x")
    metadata = {RECORDS_KEY: records_sha256(manifest)}
    save_file({"a": np.zeros(10), "b": np.zeros(10)}, path, metadata=metadata)
    with pytest.raises(ManifestError, match=r"holds 2 tensors \(a, b\)"):
        read_extra_tensor(manifest, "x")
