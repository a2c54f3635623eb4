"""Segment lists for methods that compare recordings: CMSC pairs and identification.

``cmsc/{side}.tsv``: neighbouring segments of one recording. Line 1 root, line 2 the extension
``npy``, then ``store/shard-00000<TAB>num_samples<TAB>0<TAB>i,j``: rows i and j of that shard, as
fairseq-signals' ``stem_i.mat`` and ``stem_j.mat``. ``identification/*.tsv``: line 1 root, then
``locator<TAB>num_samples<TAB>person``. Format: fact sheet ecg-fm 1.5.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ecg_fairseq.files import atomic_write
from ecg_fairseq.records.manifest.store import Store
from ecg_fairseq.records.record_row import SPLITS, RecordRow

CMSC_FOLDER = "cmsc"
IDENTIFICATION_FOLDER = "identification"
CMSC_FILES = tuple(f"{split}.tsv" for split in SPLITS)
IDENTIFICATION_FILES = (
    "train.tsv",
    "valid_gallery.tsv",
    "valid_probe.tsv",
    "test_gallery.tsv",
    "test_probe.tsv",
)


def write_pair_manifests(
    folder: Path,
    records: Sequence[RecordRow],
    store: Store,
    signal_hashes: Mapping[str, str] | None = None,
) -> dict[str, dict[str, int]]:
    """Write both kinds where the records allow it; return what was written, kind -> file -> lines.

    CMSC needs a recording of two segments; identification needs, on the valid or the test side, a
    patient with two recordings.

    Args:
        folder: the manifest folder.
        records: of the manifest; skipped ones are passed over.
        store: of the manifest.
        signal_hashes: record id -> hash of its signal: a copy of the gallery's recording under a
            second id would be no probe, so copies count once.

    Raises:
        EcgError: a file cannot be written.
    """
    usable = sorted((row for row in records if row.is_ok), key=lambda row: row.first_row)
    written = {}
    if any(row.num_segments > 1 for row in usable):
        written[CMSC_FOLDER] = _write_cmsc(folder, usable, store)
    hashes = signal_hashes or {}
    seen_twice = {side: _seen_twice(usable, side, hashes) for side in ("valid", "test")}
    if any(seen_twice.values()):
        written[IDENTIFICATION_FOLDER] = _write_identification(folder, usable, store, seen_twice)
    return written


def remove_files(folder: Path, names: Sequence[str]) -> None:
    """Delete files of an earlier preparation, and the folder when nothing else is in it."""
    for name in names:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (folder / name).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _write_cmsc(folder: Path, usable: Sequence[RecordRow], store: Store) -> dict[str, int]:
    counts = {}
    for split in SPLITS:
        chosen = [row for row in usable if row.split == split]
        with atomic_write(folder / CMSC_FOLDER / f"{split}.tsv") as stream:
            stream.write(f"{folder.resolve()}\nnpy\n")
            stream.writelines(line for row in chosen for line in _pairs(row, store))
        counts[split] = sum(row.num_segments // 2 for row in chosen)
    return counts


def _pairs(row: RecordRow, store: Store) -> Iterator[str]:
    """Yield one line for each pair (0, 1), (2, 3), ...; an odd last segment has none."""
    index, first = store.locate(row.first_row)
    stem = store.shards[index].file.removesuffix(".npy")
    for place in range(first, first + row.num_segments - 1, 2):
        yield f"{stem}\t{store.shape[-1]}\t0\t{place},{place + 1}\n"


def _seen_twice(
    usable: Sequence[RecordRow], side: str, hashes: Mapping[str, str]
) -> list[tuple[RecordRow, RecordRow]]:
    """Return the first two different recordings of each patient who has them, in store order."""
    found: dict[str, dict[str, RecordRow]] = {}
    for row in usable:
        if row.split == side:
            signal = hashes.get(row.record_id, row.record_id)
            found.setdefault(row.patient_id, {}).setdefault(signal, row)
    several = [list(rows.values()) for rows in found.values() if len(rows) > 1]
    return [(rows[0], rows[1]) for rows in several]


def _write_identification(
    folder: Path,
    usable: Sequence[RecordRow],
    store: Store,
    seen_twice: dict[str, list[tuple[RecordRow, RecordRow]]],
) -> dict[str, int]:
    people: dict[str, int] = {}
    training = [
        (row.first_row + segment, people.setdefault(row.patient_id, len(people)))
        for row in usable
        if row.split == "train"
        for segment in range(row.num_segments)
    ]
    lists = {"train": training}
    for side, pairs in seen_twice.items():
        for place, kind in enumerate(("gallery", "probe")):
            lists[f"{side}_{kind}"] = [
                (pair[place].first_row, person) for person, pair in enumerate(pairs)
            ]
    for name, segments in lists.items():
        with atomic_write(folder / IDENTIFICATION_FOLDER / f"{name}.tsv") as stream:
            stream.write(f"{folder.resolve()}\n")
            for row, person in segments:
                stream.write(f"{store.locator(row)}\t{store.shape[-1]}\t{person}\n")
    return {name: len(segments) for name, segments in lists.items()}
