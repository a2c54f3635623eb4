"""Recordings whose signals are equal and that are on different splits, in one or several manifests.

Compared are the first segments as they are stored, between stores of one recipe and type.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.records.manifest.folder import Manifest

_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True, eq=False)
class _Signals:
    """First segments of the usable records of a manifest that are on a split.

    Attributes:
        manifest: theirs.
        lines: int64 (N,), their numbers in ``records.tsv``, ascending.
        keys: uint64 (N,), equal for equal segments.
    """

    manifest: Manifest
    lines: np.ndarray
    keys: np.ndarray

    def describe(self, place: int) -> tuple[str, str]:
        """Return split and record id of one."""
        table, line = self.manifest.records, self.lines[place]
        return table.splits[table.split_numbers[line]], table.record_ids.text(line)

    def content(self, place: int) -> bytes:
        """Return a segment as it is stored."""
        store = self.manifest.store
        index, inside = store.locate(int(self.manifest.records.first_rows[self.lines[place]]))
        return store.array(index)[inside].tobytes()


def equal_signals(manifests: Sequence[Manifest]) -> Iterator[tuple[str, list[str]]]:
    """Yield (manifest folder, pairs of records with equal signals on different splits).

    Of equal signals each is compared with the first, in the order of the manifests; the pair is
    found where the later one lies. Flat lines are left out: they say nothing about where they came
    from.

    Raises:
        ManifestError: a store is damaged.
    """
    kinds = [
        (str(manifest.meta["recipe"].get("hash")), manifest.store.dtype) for manifest in manifests
    ]
    found: dict[int, list[str]] = {}
    for kind in dict.fromkeys(kinds):
        numbers = [number for number, other in enumerate(kinds) if other == kind]
        pairs = _pairs([_first_segments(manifests[number]) for number in numbers])
        found |= {numbers[member]: texts for member, texts in enumerate(pairs) if texts}
    for number in sorted(found):
        yield str(manifests[number].path), found[number]


def _first_segments(manifest: Manifest) -> _Signals:
    table = manifest.records
    is_meant = table.is_ok & (table.split_numbers != table.split_number(""))
    lines = np.flatnonzero(is_meant & (table.num_segments > 0))
    rows = table.first_rows[lines]
    keys, is_flat = np.empty(len(rows), dtype=np.uint64), np.zeros(len(rows), dtype=bool)
    starts = manifest.store.first_rows
    for index in range(len(manifest.store.shards)):
        inside = np.flatnonzero((rows >= starts[index]) & (rows < starts[index + 1]))
        if len(inside):
            # A mapping of its own: what was read of a shard is given back with it.
            shard = manifest.store.open_array(index)
            keys[inside], is_flat[inside] = _keys(shard, rows[inside] - starts[index])
    return _Signals(manifest, lines[~is_flat], keys[~is_flat])


def _keys(shard: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a number for each of some rows, uint64 (N,), and which are flat, bool (N,)."""
    keys, is_flat = np.empty(len(rows), dtype=np.uint64), np.empty(len(rows), dtype=bool)
    size = max(1, shard[:1].nbytes)
    num_words = -(-size // 8)
    # Odd, so that no bit of a word is lost.
    factors = np.random.default_rng(0).integers(1 << 62, size=num_words, dtype=np.uint64) | 1
    step = max(1, _BLOCK_BYTES // size)
    for at in range(0, len(rows), step):
        block = shard[rows[at : at + step]].reshape(len(rows[at : at + step]), -1)
        is_flat[at : at + step] = block.max(axis=1) == block.min(axis=1)
        words = np.zeros((len(block), num_words * 8), dtype=np.uint8)
        words[:, :size] = np.ascontiguousarray(block).view(np.uint8).reshape(len(block), -1)
        keys[at : at + step] = (words.view(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    return keys, is_flat


def _pairs(group: Sequence[_Signals]) -> list[list[str]]:
    """Return for each manifest of a group what it holds of an earlier record's signal."""
    keys = np.concatenate([signals.keys for signals in group])
    owners = np.repeat(np.arange(len(group)), [len(signals.keys) for signals in group])
    places = np.concatenate([np.arange(len(signals.keys)) for signals in group])
    order = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(np.diff(keys[order])) + 1
    starts, ends = np.append(0, borders), np.append(borders, len(order))
    found: list[list[tuple[int, str]]] = [[] for _ in group]
    for run in np.flatnonzero(ends - starts > 1):
        members = order[starts[run] : ends[run]]
        seen: dict[bytes, tuple[str, str]] = {}
        described = [group[owners[m]].describe(int(places[m])) for m in members]
        if len({split for split, _ in described}) == 1:
            continue
        for member, (split, name) in zip(members, described, strict=True):
            owner, place = int(owners[member]), int(places[member])
            content = group[owner].content(place)
            other_split, other = seen.setdefault(content, (split, name))
            if other_split != split:
                found[owner].append((place, f"{other} ({other_split}) = {name} ({split})"))
    return [[text for _, text in sorted(texts)] for texts in found]
