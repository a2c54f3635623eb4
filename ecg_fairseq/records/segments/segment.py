"""One segment as the loaders see it, and the rows of a packed store as segments."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.folder import read_meta
from ecg_fairseq.records.manifest.record_table import RecordTable
from ecg_fairseq.records.manifest.store import Store, decode_values
from ecg_fairseq.signal.recipe import Strip


@dataclass(frozen=True, slots=True, eq=False)
class StoredSegment:
    """One segment as it was stored.

    Attributes:
        signal: float32 (L, T); a read-only view where the store allows it.
        leads: canonical names of its rows.
        fs_hz: its rate.
        idx: line of the recording in ``y.npy``; -1 where a file does not say it.
        label: a ``.mat`` file's own labels, float32 (K,).
        patient: a ``.mat`` file's ``patient_id``, where it is a whole number.
        scaling: float32 (L, 2), mean and deviation in mV that each lead was standardised by, where
            the store says them.
    """

    signal: np.ndarray
    leads: tuple[str, ...]
    fs_hz: float
    idx: int
    label: np.ndarray | None = None
    patient: int | None = None
    scaling: np.ndarray | None = None


class StoreSource:
    """The packed store of a manifest folder whose segments are leads by samples.

    Args:
        folder: with ``meta.json``.

    Raises:
        ManifestError: it is damaged, or its segments are not leads on one time axis.
    """

    def __init__(self, folder: Path) -> None:
        meta = read_meta(folder)
        try:
            shape = tuple(int(size) for size in meta["layout"]["shape"])
            strips = [_strip(strip) for strip in meta["layout"]["strips"]]
            self.store = Store(folder, meta["store"], shape)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ManifestError(
                f"{folder}/meta.json: layout or store are not described ({error!r}); make it anew"
            ) from error
        self.folder = folder
        self.leads, self.fs_hz = _plain_leads(strips, shape, folder, meta)
        self._arrays: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the mapped files behind: a worker process maps them itself."""
        return {**self.__dict__, "_arrays": {}}

    @property
    def num_samples(self) -> int:
        """Samples T of every segment."""
        return self.store.shape[1]

    def read(self, row: int, idx: int) -> StoredSegment:
        """Return one row of the store."""
        index, inside = self.store.locate(row)
        shard = self._arrays.get(index)
        if shard is None:
            # A plain array over the same mapping: indexing a numpy.memmap is ten times slower.
            shard = self._arrays[index] = np.asarray(self.store.array(index))
        signal = shard[inside]
        if signal.dtype != np.float32:
            signal = decode_values(signal, self.store.scale_mv)
        scaling = self.store.scaling(row)
        return StoredSegment(signal, self.leads, self.fs_hz, idx, scaling=scaling)

    def recordings(self) -> np.ndarray:
        """Return for every row of the store its recording's line in ``records.tsv``, from 0.

        Returns:
            int32 (rows,), -1 where a row belongs to none.

        Raises:
            ManifestError: ``records.tsv`` is damaged or does not fit the store.
        """
        table = RecordTable.shared(self.folder / "records.tsv")
        first_rows, counts = table.first_rows, table.num_segments
        lines = np.flatnonzero(counts > 0)
        lines = lines[np.argsort(first_rows[lines], kind="stable")]
        first, count = first_rows[lines], counts[lines]
        ends = first + count
        is_apart = (ends[:-1] <= first[1:]).all()
        if len(first) and not (first[0] >= 0 and ends[-1] <= len(self.store) and is_apart):
            raise ManifestError(
                f"{self.folder}/records.tsv: rows of recordings overlap or go beyond the store of "
                f"{len(self.store)} rows; make the manifest anew"
            )
        owners = np.full(len(self.store), -1, dtype=np.int32)
        before = np.cumsum(count) - count
        owners[np.repeat(first - before, count) + np.arange(count.sum())] = np.repeat(lines, count)
        return owners


def _strip(described: dict[str, Any]) -> Strip:
    lead, kind = str(described["lead"]), str(described["kind"])
    return Strip(lead, kind, float(described["fs_hz"]), int(described["num_samples"]))


def _plain_leads(
    strips: list[Strip], shape: tuple[int, ...], folder: Path, meta: dict[str, Any]
) -> tuple[tuple[str, ...], float]:
    """Return leads and rate of a layout (L, T); ManifestError for any other layout.

    The rows may be of any kind, median beats too, but all of one: they share a time axis.
    """
    rates = {strip.fs_hz for strip in strips}
    is_plain = (
        len(shape) == 2
        and len(strips) == shape[0]
        and len(rates) == 1
        and len({strip.kind for strip in strips}) == 1
        and all(strip.num_samples == shape[1] for strip in strips)
    )
    if not is_plain:
        raise ManifestError(
            f"{folder}: recipe {meta['recipe'].get('name')} stores segments of shape {shape}; "
            "training on signals needs leads by samples: use a recipe such as ecg_fm"
        )
    return tuple(strip.lead for strip in strips), rates.pop()
