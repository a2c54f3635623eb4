"""Embeddings of a folder's lists: whose each row is, batches, means over recordings, refusals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ecg_fm_manifest import make_ecg_fm_manifest
from mat_segments import write_mat

from ecg_fairseq.data.signals.embeddings import (
    EmbeddingOptions,
    Embeddings,
    check_folder,
    embed_folder,
)
from ecg_fairseq.data.signals.segment_folder import SegmentFolder
from ecg_fairseq.errors import CheckpointError, ManifestError, RecordError
from ecg_fairseq.networks.encoders.lead_choice import NetworkInput
from ecg_fairseq.records.manifest.provenance import Provenance
from ecg_fairseq.records.manifest.record_table import RecordTable
from ecg_fairseq.records.segments.segment_list import SegmentList
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipes import get_recipe

NUM_SAMPLES = 200
QUIET = EmbeddingOptions(batch_size=3, progress="silent")


class FirstSamples:
    """An encoder whose embedding is the first sample of every lead, and the segment's length."""

    path = "first.pt"
    width = 13
    recipe = get_recipe("ecg_fm")

    def __init__(
        self, source: Provenance | None = None, leads: tuple[str, ...] | None = None
    ) -> None:
        self.source = source or Provenance()
        self.signals = NetworkInput(leads, False, len(leads or CANONICAL_LEADS))
        self.seen: list[tuple[Any, ...]] = []

    def embeddings(self, segments: np.ndarray, pooling: str | None, batch_size: int) -> np.ndarray:
        self.seen.append((segments.shape, pooling, batch_size))
        lengths = np.full((len(segments), 1), segments.shape[2], dtype=np.float32)
        rows = np.zeros((len(segments), self.width), dtype=np.float32)
        rows[:, : segments.shape[1]] = segments[:, :, 0]
        rows[:, -1:] = lengths
        return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SegmentFolder:
    made = tmp_path_factory.mktemp("made")
    return SegmentFolder.open(make_ecg_fm_manifest(made, 10, num_samples=NUM_SAMPLES))


@pytest.fixture
def files(tmp_path: Path) -> SegmentFolder:
    """fairseq-signals' files of two lengths; recordings 4, 6 and two that do not say."""
    lines = [f"{tmp_path}\n"]
    said = [{"idx": 4, "patient_id": 31}, {"idx": 6}, {"idx": 4, "patient_id": 31}, {}, {}]
    for number, (length, values) in enumerate(zip((50, 50, 80, 80, 50), said, strict=True)):
        signal = 100 * number + np.arange(12)[:, None] + np.zeros(length)
        write_mat(tmp_path / f"{number}.mat", signal, **values)
        lines.append(f"{number}.mat\t{length}\n")
    (tmp_path / "test.tsv").write_text("".join(lines))
    (tmp_path / "empty.tsv").write_text(f"{tmp_path}\n")
    return SegmentFolder.open(tmp_path)


def trained_on(folder: SegmentFolder, **changes: Any) -> Any:
    """An encoder trained on the same data, but for some changes."""
    return FirstSamples(replace(folder.provenance, manifest=None, **changes))


# Folders ------------------------------------------------------------------------------------------


def test_rows_are_the_segments_in_the_order_of_the_lists(folder: SegmentFolder) -> None:
    assert folder.manifest is not None
    found = embed_folder(trained_on(folder), folder, ["valid", "train"], QUIET)
    table = RecordTable.open(folder.manifest / "records.tsv")
    records = list(table.values())
    row = 0
    for side in ("valid", "train"):
        segments = SegmentList.load(folder.tsv(side))
        for index in range(len(segments)):
            stored = segments.read(index)
            np.testing.assert_array_equal(found.values[row, :12], stored.signal[:, 0])
            record = records[int(found.idx[row])]
            assert found.splits[row] == record.split == side
            assert found.idx[row] == stored.idx
            assert found.record_ids[row] == record.record_id
            assert found.patient_ids[row] == record.patient_id
            row += 1
    assert row == len(found) == 2 * len(table) - len(SegmentList.load(folder.tsv("test")))
    assert found.values.dtype == np.float32
    assert found.parts.tolist() == [0, 1] * (row // 2)
    assert not found.is_by_record


def test_batches_are_as_large_as_told_and_change_nothing(folder: SegmentFolder) -> None:
    one, other = trained_on(folder), trained_on(folder)
    first = embed_folder(one, folder, ["train"], QUIET)
    options = EmbeddingOptions(pooling="max", batch_size=1000, progress="silent")
    second = embed_folder(other, folder, ["train"], options)
    np.testing.assert_array_equal(first.values, second.values)
    total = len(SegmentList.load(folder.tsv("train")))
    sizes = [3] * (total // 3) + [total % 3] * (total % 3 > 0)
    assert one.seen == [((size, 12, NUM_SAMPLES), None, size) for size in sizes]
    assert other.seen == [((total, 12, NUM_SAMPLES), "max", total)]


def test_the_network_gets_the_leads_it_reads(folder: SegmentFolder) -> None:
    system: Any = FirstSamples(leads=("V1", "II"))
    system.source = replace(folder.provenance.reading(("V1", "II")), manifest=None)
    found = embed_folder(system, folder, ["test"], QUIET)
    stored = SegmentList.load(folder.tsv("test")).read(0).signal
    np.testing.assert_array_equal(found.values[0, :3], [stored[6, 0], stored[1, 0], 0])


def test_files_of_several_lengths_and_owners(files: SegmentFolder) -> None:
    system: Any = FirstSamples()
    found = embed_folder(system, files, ["test"], QUIET)
    assert [shape for shape, _, _ in system.seen] == [(2, 12, 50), (2, 12, 80), (1, 12, 50)]
    np.testing.assert_array_equal(found.values[:, 2], 100 * np.arange(5) + 2)
    assert found.values[:, -1].tolist() == [50, 50, 80, 80, 50]
    assert found.idx.tolist() == [4, 6, 4, -1, -1]
    assert found.record_ids.tolist() == ["4", "6", "4", "", ""]
    assert found.patient_ids.tolist() == ["31", "", "31", "", ""]
    assert found.parts[:3].tolist() == [0, 0, 1]


def test_lists_without_a_segment_are_refused(files: SegmentFolder) -> None:
    system: Any = FirstSamples()
    with pytest.raises(ManifestError, match=r"the lists empty, empty hold no segment"):
        embed_folder(system, files, ["empty", "empty"], QUIET)
    assert len(embed_folder(system, files, ["empty", "test"], QUIET)) == 5
    with pytest.raises(ManifestError, match=r"train\.tsv does not exist"):
        embed_folder(system, files, ["test", "train"], QUIET)


def test_segments_that_a_network_cannot_read_are_named(files: SegmentFolder) -> None:
    few: Any = FirstSamples()
    few.signals = NetworkInput(None, False, 3)
    with pytest.raises(RecordError, match=r"^segment 0 of .*test\.tsv: the network reads 3 leads"):
        embed_folder(few, files, ["test"], QUIET)
    signal = np.zeros((12, 80))
    for bad in (np.nan, np.inf):
        signal[3, 7] = bad
        write_mat(files.path / "3.mat", signal)
        with pytest.raises(RecordError, match=r"^segment 3 of .*test\.tsv holds NaN or Inf"):
            embed_folder(FirstSamples(), files, ["test"], QUIET)  # type: ignore[arg-type]


# What a checkpoint and a folder say of each other -------------------------------------------------


def test_signals_of_another_recipe_are_refused(folder: SegmentFolder) -> None:
    other = trained_on(folder, recipe={"name": "other", "hash": "c" * 64})
    for external_test in (False, True):
        with pytest.raises(CheckpointError, match=r"first\.pt was trained on recipe other \(ccccc"):
            check_folder(other, folder, external_test)
    with pytest.raises(CheckpointError, match="recipe other"):
        embed_folder(other, folder, ["test"], QUIET)
    check_folder(trained_on(folder), folder, False)


def test_a_checkpoint_without_a_recipe_counts_as_ecg_fms(folder: SegmentFolder) -> None:
    unnamed = trained_on(folder, recipe=None)
    with pytest.raises(CheckpointError, match=r"names no recipe, so ECG-FM's\) was trained on"):
        check_folder(unnamed, folder, False)
    own = {"name": "ecg_fm", "hash": FirstSamples.recipe.hash()}
    here = SegmentFolder(folder.path, folder.manifest, replace(folder.provenance, recipe=own))
    check_folder(unnamed, here, False)


def test_patients_are_compared_unless_told(folder: SegmentFolder) -> None:
    other = trained_on(folder, split_hash="d" * 64)
    with pytest.raises(CheckpointError, match=r"trained on split dddddddddddd of toy"):
        check_folder(other, folder, external_test=False)
    check_folder(other, folder, external_test=True)
    assert len(embed_folder(other, folder, ["test"], QUIET)) > 0


def test_other_leads_than_trained_on_are_refused(folder: SegmentFolder) -> None:
    with pytest.raises(CheckpointError, match=r"trained on leads V1, it would read I, II"):
        check_folder(trained_on(folder, leads=("V1",)), folder, True)


# Recordings ---------------------------------------------------------------------------------------


def rows_of(sides: str, idx: list[int]) -> Embeddings:
    names = {"a": "train", "b": "test"}
    ids = np.array([f"r{number}" for number in idx], dtype=object)
    return Embeddings(
        values=np.array([[4.0**row, -row] for row in range(len(idx))], dtype=np.float32),
        splits=np.array([names[side] for side in sides], dtype=object),
        idx=np.array(idx),
        record_ids=ids,
        patient_ids=np.array([f"p{number}" for number in idx], dtype=object),
        parts=np.arange(len(idx)),
    )


def test_recordings_are_means_in_order_of_first_appearance() -> None:
    found = rows_of("aaaaaab", [5, 9, 5, 2, 9, 9, 9]).by_record()
    wanted = [[(1 + 16) / 2, -1], [(4 + 256 + 1024) / 3, -10 / 3], [64, -3], [4096, -6]]
    np.testing.assert_allclose(found.values, wanted, rtol=1e-6)
    assert found.values.dtype == np.float32
    assert found.splits.tolist() == ["train", "train", "train", "test"]
    assert found.idx.tolist() == [5, 9, 2, 9]
    assert found.record_ids.tolist() == ["r5", "r9", "r2", "r9"]
    assert found.patient_ids.tolist() == ["p5", "p9", "p2", "p9"]
    assert found.parts.tolist() == [2, 3, 1, 1]
    assert found.is_by_record
    assert len(found) == 4


def test_segments_of_unknown_recordings_are_not_joined() -> None:
    with pytest.raises(ManifestError, match=r"^2 files do not say of which recording .* --per seg"):
        rows_of("aaa", [-1, 3, -1]).by_record()
