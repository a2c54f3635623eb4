"""Lines of our own manifests: rows of the packed store, one or two a line."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.folder import read_meta
from ecg_fairseq.records.manifest.record_table import RecordTable
from ecg_fairseq.records.readers.text_lines import Fields, distinct_runs, parse_integers, places_of
from ecg_fairseq.records.record_row import SPLITS
from ecg_fairseq.records.segments.segment import StoreSource

EXTENSION = "npy"
_COLON = ord(":")


@dataclass(frozen=True, eq=False)
class StoreRows:
    """Rows of a store, in the order of a manifest.

    Attributes:
        source: the store.
        rows: int64 (N,) or (N, 2).
        ids: int64 (N,), each recording's line in ``y.npy``.
    """

    source: StoreSource
    rows: np.ndarray
    ids: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Samples of each segment, int64 (N,)."""
        return np.full(len(self.rows), self.source.num_samples, dtype=np.int64)


def is_store_line(fields: Fields) -> bool:
    """Say whether the first line names a row of a store: ``store/shard-00000.npy:17``."""
    if not len(fields):
        return False
    name, colon, row = fields.text(0, 0).rpartition(":")
    return bool(colon) and name.endswith(f".{EXTENSION}") and row.isdecimal()


def read_rows(fields: Fields, source: StoreSource) -> StoreRows:
    """Return the rows that lines name by ``store/shard-00000.npy:ROW``, (N,).

    Raises:
        ManifestError: a line names no row of the store.
    """
    starts, ends = fields.starts[:, 0], fields.ends[:, 0]
    places = np.append(places_of(fields.content, _COLON), len(fields.content))
    colons = places[np.searchsorted(places, starts)]
    fields.refuse(colons >= ends, "expected a row of the store, as in the first line")
    base, limit = _shards(source, fields, starts, colons)
    rows = _rows_in_store(fields, (colons + 1, ends), base, limit)
    return StoreRows(source, rows, _owners(source.recordings(), fields, rows))


def read_pairs(fields: Fields, commas: np.ndarray, source: StoreSource) -> StoreRows:
    """Return the rows that lines name by ``store/shard-00000`` and ``i,j``, (N, 2).

    Args:
        commas: int (N,), where the comma of each last field stands.
        fields: the lines.
        source: the store.

    Raises:
        ManifestError: a line names no rows of the store, or rows of two recordings.
    """
    base, limit = _shards(source, fields, fields.starts[:, 0], fields.ends[:, 0], f".{EXTENSION}")
    starts, ends = fields.starts[:, 3], fields.ends[:, 3]
    first = _rows_in_store(fields, (starts, commas), base, limit)
    second = _rows_in_store(fields, (commas + 1, ends), base, limit)
    recordings = source.recordings()
    owners = _owners(recordings, fields, first)
    fields.refuse(recordings[second] != owners, "its two segments are of different recordings")
    return StoreRows(source, np.stack([first, second], axis=1), owners)


def refuse_other_splits(fields: Fields, list_name: str, rows: StoreRows) -> None:
    """Refuse a list of a split that holds recordings of another: a copied or renamed file.

    Args:
        fields: the list's lines.
        list_name: of the file, without its ending: ``train``, ``valid_gallery``; lists of other
            names than a split's may hold anything.
        rows: what the lines mean.

    Raises:
        ManifestError: names the first such line.
    """
    split = list_name.partition("_")[0]
    if split in SPLITS:
        table = RecordTable.shared(rows.source.folder / "records.tsv")
        fields.refuse(
            ~table.is_on(split, rows.ids),
            f"its recording is not on split {split} in records.tsv of {rows.source.folder}",
        )


def refuse_shortened(path: Path, folder: Path, num_lines: int) -> None:
    """Refuse a list of our own manifest that lost lines, or gained some, after it was written.

    Args:
        path: the list.
        folder: that its lines are relative to.
        num_lines: that it holds.

    Raises:
        ManifestError: the preparation wrote another number; lists of other names may hold any.
    """
    wanted = _num_written(path, folder)
    if wanted is not None and num_lines != wanted:
        raise ManifestError(
            f"{path} holds {num_lines:,} lines, and the preparation wrote {wanted:,}: it was cut "
            "short or edited; make the manifest anew, or give a list of your own another name "
            f"({path.stem}_part.tsv beside it, and that name for dataset.train_subset)"
        )


def _num_written(path: Path, folder: Path) -> int | None:
    """Return the lines that the preparation wrote into a list; None where it is not ours."""
    own = path.absolute().parent
    if not (folder / "meta.json").is_file() or not folder.is_dir():
        return None
    if own.samefile(folder):
        if path.stem not in SPLITS:
            return None
        table = RecordTable.shared(folder / "records.tsv")
        return int(table.num_segments[table.is_on(path.stem)].sum())
    if not own.parent.samefile(folder):
        return None
    pairs = read_meta(folder).get("pairs")
    counts = pairs.get(own.name) if isinstance(pairs, dict) else None
    wanted = counts.get(path.stem) if isinstance(counts, dict) else None
    return wanted if isinstance(wanted, int) else None


def _rows_in_store(
    fields: Fields, places: tuple[np.ndarray, np.ndarray], base: np.ndarray, limit: np.ndarray
) -> np.ndarray:
    """Return rows of the store from numbers of rows within shards, int64 (N,)."""
    inside, is_number = parse_integers(fields.content, *places)
    fields.refuse(~is_number | (inside < 0), "the row is not a whole number")
    fields.refuse(inside >= limit, "the store's shard has fewer rows")
    return base + inside


def _shards(
    source: StoreSource, fields: Fields, starts: np.ndarray, ends: np.ndarray, suffix: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row and the number of rows of each line's shard, int64 (N,)."""
    shards, first = {}, 0
    for shard in source.store.shards:
        shards[shard.file.encode()] = (first, shard.rows)
        first += shard.rows
    base, limit = np.empty(len(fields), dtype=np.int64), np.empty(len(fields), dtype=np.int64)
    for begin, end, text in distinct_runs(fields.content, starts, ends):
        name = text + suffix.encode()
        if name not in shards:
            raise fields.error(begin, f"the store of {source.folder} has no such shard")
        base[begin:end], limit[begin:end] = shards[name]
    return base, limit


def _owners(recordings: np.ndarray, fields: Fields, rows: np.ndarray) -> np.ndarray:
    owners = recordings[rows].astype(np.int64)
    fields.refuse(owners < 0, "records.tsv has no recording with this row of the store")
    return owners
