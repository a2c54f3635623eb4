"""Which label file a task takes, what it says of its columns, and what it refuses."""

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ecg_fm_manifest import make_ecg_fm_manifest

from ecg_fairseq.data.signals.label_source import LabelSource
from ecg_fairseq.data.signals.segment_folder import SegmentFolder
from ecg_fairseq.errors import EcgError, ManifestError
from ecg_fairseq.records.labels.targets import Targets, write_targets

NUM_RECORDS = 10


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    return make_ecg_fm_manifest(folder, num_patients=NUM_RECORDS // 2, num_samples=200)


@pytest.fixture
def manifest(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "manifest")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    folder = tmp_path / "foreign"
    folder.mkdir()
    return folder


def find(folder: Path, label_file: str | None = None, is_survival: bool = False) -> LabelSource:
    source = LabelSource.find(SegmentFolder.open(folder), label_file, is_survival)
    assert source is not None
    return source


def write_survival(manifest: Path) -> Path:
    values = np.stack([np.arange(NUM_RECORDS) + 1.0, np.arange(NUM_RECORDS) % 2], axis=1)
    path = manifest / "labels" / "targets.npz"
    write_targets(path, Targets("survival", values), manifest)
    return path


def write_real(manifest: Path) -> Path:
    values = np.arange(3.0 * NUM_RECORDS).reshape(NUM_RECORDS, 3)
    path = manifest / "labels" / "targets.npz"
    write_targets(path, Targets("real", values, ("age", "height", "weight")), manifest)
    return path


# Which file ---------------------------------------------------------------------------------------


def test_a_manifest_brings_its_own_labels_with_their_names(manifest: Path) -> None:
    source = find(manifest)
    assert source.path == manifest / "labels" / "y.npy"
    assert (source.kind, source.names, source.num_labels) == ("binary", ("fast", "tall"), 2)
    assert source.values.shape == (NUM_RECORDS, 2)
    assert source != find(manifest)  # arrays have no one truth value; a source is itself only
    write_real(manifest)
    assert find(manifest).path == source.path
    assert find(manifest / "cmsc").path == source.path


def test_targets_are_taken_where_there_is_no_matrix(manifest: Path) -> None:
    (manifest / "labels" / "y.npy").unlink()
    write_real(manifest)
    source = find(manifest)
    assert (source.kind, source.names) == ("real", ("age", "height", "weight"))
    assert source.values[2].tolist() == [6, 7, 8]


def test_no_label_file_is_no_source(manifest: Path, foreign: Path) -> None:
    np.save(foreign / "y.npy", np.zeros((4, 2)))  # nobody asked for it
    assert LabelSource.find(SegmentFolder.open(foreign), None) is None
    shutil.rmtree(manifest / "labels")
    assert LabelSource.find(SegmentFolder.open(manifest), None) is None


def test_a_named_file_is_looked_for_in_the_given_order(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    lists = manifest / "cmsc"
    places = [manifest / "labels" / "mine.npy", lists / "mine.npy", tmp_path / "here" / "mine.npy"]
    for number, path in enumerate(places):
        np.save(path, np.full((NUM_RECORDS, 2), number))
        source = find(lists, "mine.npy")
        assert source.path.resolve() == path
        assert int(source.values[0, 0]) == number
    assert find(lists, str(places[0])).path == places[0]


def test_a_named_file_that_is_nowhere_is_refused(manifest: Path) -> None:
    with pytest.raises(ManifestError, match=r"label file /.*/mine\.npy cannot be opened"):
        find(manifest, "mine.npy")


def test_columns_have_names_only_beside_a_definition(manifest: Path, foreign: Path) -> None:
    path = foreign / "y.npy"
    np.save(path, np.zeros((NUM_RECORDS, 2)))
    assert find(manifest, str(path)).names is None
    shutil.copy(manifest / "labels" / "label_def.csv", foreign)
    assert find(manifest, str(path)).names == ("fast", "tall")
    np.save(path, np.zeros((NUM_RECORDS, 3)))
    with pytest.raises(ManifestError, match=r"label_def\.csv names 2 labels, .* has 3 columns"):
        find(manifest, str(path))


def test_rows_are_those_of_the_manifest_and_of_foreign_lists_any(
    manifest: Path, foreign: Path
) -> None:
    np.save(foreign / "y.npy", np.zeros((NUM_RECORDS + 1, 2)))
    with pytest.raises(ManifestError, match=r"y\.npy has 11 rows, .*records\.tsv lists 10 records"):
        find(manifest, str(foreign / "y.npy"))
    assert len(find(foreign, "y.npy").values) == NUM_RECORDS + 1


# Times and events ---------------------------------------------------------------------------------


def test_survival_takes_targets_though_there_is_a_matrix(manifest: Path) -> None:
    path = write_survival(manifest)
    source = find(manifest, is_survival=True)
    assert (source.path, source.kind, source.num_labels) == (path, "survival", 1)
    assert source.values[3].tolist() == [4, 1]


def test_survival_without_targets_is_refused(manifest: Path, foreign: Path) -> None:
    for folder in (manifest, foreign):
        with pytest.raises(ManifestError, match=rf"^{folder} has no labels/targets\.npz of times"):
            find(folder, is_survival=True)


def test_targets_of_the_other_kind_are_refused(manifest: Path) -> None:
    with pytest.raises(ManifestError, match=r"y\.npy holds binary targets; task\.items=survival"):
        find(manifest, "y.npy", is_survival=True)
    write_survival(manifest)
    with pytest.raises(ManifestError, match=r"targets\.npz holds survival targets"):
        find(manifest, "targets.npz")


# What is said of columns --------------------------------------------------------------------------


def source_of(values: Any, names: tuple[str, ...] | None = None, kind: str = "binary") -> Any:
    return LabelSource(Path("y.npy"), np.asarray(values, dtype=float), names, kind)


def test_a_message_names_twelve_columns_at_most() -> None:
    names = tuple(f"n{k}" for k in range(14))
    source = source_of(np.zeros((1, 14)), names)
    assert source.named(np.array([13, 2])) == "n13, n2"
    assert source.named(np.arange(12)) == ", ".join(names[:12])
    assert source.named(np.arange(13)) == ", ".join(names[:12]) + ", ..."
    assert source_of(np.zeros((1, 3))).named(np.array([0, 2])) == "0, 2"


def test_a_network_of_other_width_is_refused() -> None:
    source = source_of(np.zeros((1, 2)), ("fast", "tall"))
    source.check_count(2)
    with pytest.raises(EcgError, match=r"num_labels=5, but y\.npy has 2 columns \(fast, tall\); s"):
        source.check_count(5)
    with pytest.raises(EcgError, match=r"has 1 columns; set model\.num_labels=1"):
        source_of(np.zeros((4, 2)), kind="survival").check_count(2)


def dataset_of(recordings: list[int], kept: list[int] | None = None) -> Any:
    """Segments of a store: the recording of each, and which are kept."""
    segments = SimpleNamespace(is_store=True, recording_ids=lambda: np.array(recordings))
    return SimpleNamespace(segments=segments, kept=np.array(kept or range(len(recordings))))


def test_labels_of_one_value_on_a_split_are_told(caplog: pytest.LogCaptureFixture) -> None:
    values = [[0, 1, 0], [0, 1, 1], [1, 0, 0], [np.nan, 0, 0]]
    source = source_of(values, ("never", "always", "both"))
    with caplog.at_level(logging.WARNING):
        source.check_positives(dataset_of([0, 0, 1, 3]), "valid")
    never, always = (record.getMessage() for record in caplog.records)
    assert never.startswith("1 of 3 labels are never true on the valid side: never.")
    assert always.startswith("1 of 3 labels are always true on the valid side: always.")
    caplog.clear()
    source.check_positives(dataset_of([0, 1, 2]), "valid")
    assert not caplog.records


def test_a_split_without_a_positive_is_refused() -> None:
    source = source_of([[0, 0], [1, 1], [0, 0]])
    source.check_positives(dataset_of([0, 1]), "train")
    for dataset in (dataset_of([0, 2]), dataset_of([0, 1, 2], kept=[0, 2])):
        with pytest.raises(ManifestError, match=r"true on the train side \(2 segments, 2 labels\)"):
            source.check_positives(dataset, "train")


def test_only_binary_labels_are_checked_and_files_by_all_rows() -> None:
    for kind in ("real", "survival"):
        source_of(np.zeros((3, 2)), kind=kind).check_positives(dataset_of([0, 1]), "train")

    def refuse() -> None:
        raise AssertionError("every file would be read")

    files = SimpleNamespace(segments=SimpleNamespace(is_store=False, recording_ids=refuse))
    source_of([[0], [1]]).check_positives(files, "train")
