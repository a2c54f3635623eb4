"""Embeddings of the segments or recordings of a folder of lists, with whose they are.

Everything is kept in memory: 4 bytes for each of the D numbers of a row, 5 GB for the 1.7 million
segments that ECG-FM was pretrained on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ecg_fairseq.data.signals.segment_folder import SegmentFolder
from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.networks.encoders.trained_encoder import TrainedEncoder
from ecg_fairseq.progress import track
from ecg_fairseq.records.manifest.content_check import check_contents
from ecg_fairseq.records.manifest.provenance import check
from ecg_fairseq.records.manifest.record_table import RecordTable
from ecg_fairseq.records.segments.segment_list import SegmentList


@dataclass(frozen=True)
class EmbeddingOptions:
    """How to embed.

    Attributes:
        pooling: over frames, None for the encoder's default; see :meth:`TrainedEncoder.embeddings`.
        batch_size: segments at a time.
        num_workers: processes that read signals; 0 for none.
        progress: a mode of :func:`progress.track`.
    """

    pooling: str | None = None
    batch_size: int = 64
    num_workers: int = 0
    progress: str = "auto"


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Rows and whose they are.

    Attributes:
        values: float32 (N, D).
        splits: N names of lists (``train``, ...).
        idx: int64 (N,), the recording's line in ``y.npy``; -1 where a file does not say it.
        record_ids: N ids; the text of ``idx`` where the folder is not one of our manifests.
        patient_ids: N ids, empty where unknown.
        parts: int64 (N,): of a segment its number within the recording, of a recording the number
            of segments.
        is_by_record: whether a row is a recording.
    """

    values: np.ndarray
    splits: np.ndarray
    idx: np.ndarray
    record_ids: np.ndarray
    patient_ids: np.ndarray
    parts: np.ndarray
    is_by_record: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def by_record(self) -> "Embeddings":
        """Return the mean over the segments of each recording, in order of first appearance.

        Raises:
            ManifestError: a file does not say of which recording it is.
        """
        if (self.idx < 0).any():
            raise ManifestError(
                f"{int((self.idx < 0).sum())} files do not say of which recording they are (no "
                "idx), so segments cannot be joined; embed with --per segment"
            )
        keys = np.stack([np.unique(self.splits, return_inverse=True)[1], self.idx], axis=1)
        _, first, owner = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        rows = place[owner.ravel()]
        counts = np.bincount(rows)
        sums = np.zeros((len(first), self.values.shape[1]), dtype=np.float32)
        np.add.at(sums, rows, self.values)
        kept = first[order]
        return replace(
            self,
            values=sums / counts[:, None].astype(np.float32),
            splits=self.splits[kept],
            idx=self.idx[kept],
            record_ids=self.record_ids[kept],
            patient_ids=self.patient_ids[kept],
            parts=counts,
            is_by_record=True,
        )


def check_folder(system: TrainedEncoder, folder: SegmentFolder, external_test: bool) -> None:
    """Refuse signals prepared otherwise than those of the training, and patients trained on.

    Args:
        system: the encoder.
        folder: of the lists.
        external_test: do not compare patients.

    Raises:
        CheckpointError: names what differs.
    """
    trained, name = system.source, system.path
    if trained.recipe is None:
        recipe = {"name": system.recipe.name, "hash": system.recipe.hash()}
        trained, name = replace(trained, recipe=recipe), f"{name} (names no recipe, so ECG-FM's)"
    present = folder.provenance.reading(system.signals.leads, system.signals.pads_leads)
    check(trained, present, name, external_test)


def embed_folder(
    system: TrainedEncoder, folder: SegmentFolder, splits: Sequence[str], options: EmbeddingOptions
) -> Embeddings:
    """Embed all segments of some lists, in their order.

    Args:
        system: the encoder.
        folder: of the lists; ours or fairseq-signals'.
        splits: names of lists.
        options: how.

    Patients are not compared here; see :func:`check_folder`.

    Raises:
        CheckpointError: the signals were prepared otherwise than those of the training.
        ManifestError: a list is missing or damaged, or all are empty.
        RecordError: a segment is missing, damaged, has other leads, or samples that are not finite.
    """
    check_folder(system, folder, external_test=True)
    if folder.manifest is not None:
        check_contents(folder.manifest)
    lists = [(split, SegmentList.load(folder.tsv(split))) for split in splits]
    total = sum(len(segments) for _, segments in lists)
    if total == 0:
        raise ManifestError(f"{folder.path}: the lists {', '.join(splits)} hold no segment")
    values = np.empty((total, system.width), dtype=np.float32)
    idx, patients = np.empty(total, dtype=np.int64), np.empty(total, dtype=object)
    names = [split for split, segments in lists for _ in range(len(segments))]
    done = 0
    for batch in track(_batches(system, lists, options), None, "batches", options.progress):
        rows = slice(done, done + len(batch))
        signals = np.stack([signal for signal, _, _ in batch])
        values[rows] = system.embeddings(signals, options.pooling, len(batch))
        idx[rows] = [number for _, number, _ in batch]
        patients[rows] = ["" if patient is None else str(patient) for _, _, patient in batch]
        done += len(batch)
    record_ids = np.array([str(number) if number >= 0 else "" for number in idx], dtype=object)
    if folder.manifest is not None:
        table = RecordTable.shared(folder.manifest / "records.tsv")
        record_ids = np.array(list(table.record_ids.texts()), dtype=object)[idx]
        patients = np.array(list(table.patient_ids.texts()), dtype=object)[idx]
    splits_of_rows = np.array(names, dtype=object)
    return Embeddings(
        values, splits_of_rows, idx, record_ids, patients, _parts(splits_of_rows, idx)
    )


Item = tuple[np.ndarray, int, int | None]


class _Signals(Dataset):
    """Segments as the network reads them."""

    def __init__(self, system: TrainedEncoder, segments: SegmentList) -> None:
        # Not the system itself: worker processes need no network.
        self.signals, self.segments = system.signals, segments

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, index: int) -> Item:
        stored = self.segments.read(index)
        where = f"segment {index} of {self.segments.path}"
        try:
            (signal,) = self.signals.chosen(stored.signal[None], stored.leads)
        except RecordError as error:
            raise RecordError(f"{where}: {error}") from error
        if not np.isfinite(signal).all():
            raise RecordError(
                f"{where} holds NaN or Inf (fairseq-signals marks absent leads so); leave such "
                "recordings out of the list"
            )
        return signal, stored.idx, stored.patient


def _batches(
    system: TrainedEncoder,
    lists: Sequence[tuple[str, SegmentList]],
    options: EmbeddingOptions,
) -> Iterator[list[Item]]:
    """Yield lists of segments of one length, in order."""
    for _, segments in lists:
        yield from DataLoader(
            _Signals(system, segments),
            batch_sampler=_runs_of_one_size(segments.sizes, options.batch_size),
            num_workers=options.num_workers,
            collate_fn=list,
        )


def _runs_of_one_size(sizes: np.ndarray, batch_size: int) -> list[list[int]]:
    """Return consecutive numbers in batches; a batch ends where the size changes."""
    borders = np.flatnonzero(np.diff(sizes)) + 1
    runs = np.split(np.arange(len(sizes)), borders)
    return [
        run[start : start + batch_size].tolist()
        for run in runs
        for start in range(0, len(run), batch_size)
    ]


def _parts(splits: np.ndarray, idx: np.ndarray) -> np.ndarray:
    """Return the number of each segment within its recording, int64 (N,)."""
    seen: dict[tuple[str, int], int] = {}
    parts = np.empty(len(idx), dtype=np.int64)
    for row, key in enumerate(zip(splits.tolist(), idx.tolist(), strict=True)):
        parts[row] = seen.get(key, 0)
        seen[key] = parts[row] + 1
    return parts
