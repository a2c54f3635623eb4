"""Many short texts (ids of records, patients, questions) without an object for each.

A million ids are a dict of 150 MB that every worker process copies; here they are one array of
bytes. Looking one up goes through numbers that stand for texts; the texts themselves are compared
then, so that equal numbers of different texts do no harm.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ecg_fairseq.records.readers.text_lines import (
    TAB,
    letters_of,
    line_bounds,
    places_of,
    read_bytes,
    text_keys,
)


class TextColumn:
    """N texts, read-only.

    Attributes:
        content: uint8, all of them one after another, UTF-8.
        offsets: int64 (N + 1), where each begins.
        keys: int64 (N,), equal for equal texts; see :func:`text_keys`.
    """

    def __init__(self, content: np.ndarray, offsets: np.ndarray, keys: np.ndarray) -> None:
        """Use :meth:`of_texts`, :meth:`cut_from` or :meth:`joined`."""
        self.content = content
        self.offsets = offsets
        self.keys = keys

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> "TextColumn":
        """Make a column of texts."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
        content = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return cls(content, offsets, text_keys(content, offsets[:-1], offsets[1:]))

    @classmethod
    def cut_from(cls, content: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> "TextColumn":
        """Copy texts out of a file's bytes.

        Args:
            content: uint8.
            starts, ends: int (N,), the place of each text.
        """
        lengths = (ends - starts).astype(np.int64)
        offsets = np.zeros(len(starts) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        copied = content[places] if len(places) else np.empty(0, dtype=np.uint8)
        return cls(copied, offsets, text_keys(copied, offsets[:-1], offsets[1:]))

    @classmethod
    def joined(cls, parts: Sequence["TextColumn"]) -> "TextColumn":
        """Put columns one behind another."""
        if not parts:
            return cls.of_texts(())
        lengths = np.concatenate([np.diff(part.offsets) for part in parts])
        return cls(
            np.concatenate([part.content for part in parts]),
            np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
            np.concatenate([part.keys for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.keys)

    def text(self, place: int) -> str:
        """Return one text."""
        start, end = self.offsets[place], self.offsets[place + 1]
        return self.content[start:end].tobytes().decode("utf-8", "surrogatepass")

    def texts(self, places: np.ndarray | None = None) -> Iterator[str]:
        """Yield the texts of some places, or of all."""
        whole, offsets = self.content.tobytes(), self.offsets
        starts, ends = (offsets[:-1], offsets[1:])
        if places is not None:
            starts, ends = starts[places], ends[places]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            yield whole[start:end].decode("utf-8", "surrogatepass")

    def are_equal(self, places: np.ndarray, other: "TextColumn", theirs: np.ndarray) -> np.ndarray:
        """Return whether text ``places[n]`` equals text ``theirs[n]`` of another column, bool."""
        starts, ends = self.offsets[places], self.offsets[places + 1]
        begins, closes = other.offsets[theirs], other.offsets[theirs + 1]
        equal = (self.keys[places] == other.keys[theirs]) & (ends - starts == closes - begins)
        chosen = np.flatnonzero(equal)
        ours = letters_of(self.content, starts[chosen], ends[chosen])
        them = letters_of(other.content, begins[chosen], closes[chosen])
        for (at, letters), (_, others) in zip(ours, them, strict=True):
            equal[chosen[at : at + len(letters)]] = (letters == others).all(axis=1)
        return equal

    def first_places(self) -> np.ndarray:
        """Return for every text the first place of an equal one, int64 (N,): exact."""
        order = np.argsort(self.keys, kind="stable")
        keys = self.keys[order]
        is_new = np.ones(len(order), dtype=bool)
        is_new[1:] = keys[1:] != keys[:-1]
        first = np.empty(len(order), dtype=np.int64)
        first[order] = order[np.flatnonzero(is_new)][np.cumsum(is_new) - 1]
        everywhere = np.arange(len(order))
        again = everywhere[first != everywhere]
        if self.are_equal(again, self, first[again]).all():
            return first
        # Different texts with one key: they have to be compared one by one.
        seen: dict[str, int] = {}
        return np.array([seen.setdefault(text, n) for n, text in enumerate(self.texts())])


class TextIndex:
    """Where texts stand in a column; of equal ones, the first."""

    def __init__(self, column: TextColumn) -> None:
        self.column = column
        self._order = np.argsort(column.keys, kind="stable")
        self._keys = column.keys[self._order]

    def find(self, texts: TextColumn) -> np.ndarray:
        """Return the place of each text, int64 (M,), -1 where there is none."""
        if not len(self._keys) or not len(texts):
            return np.full(len(texts), -1, dtype=np.int64)
        # In order, so that neighbouring searches touch the same memory.
        order = np.argsort(texts.keys)
        places = np.empty(len(texts), dtype=np.int64)
        places[order] = np.searchsorted(self._keys, texts.keys[order])
        places = np.minimum(places, len(self._keys) - 1)
        found = self._order[places]
        is_there = self.column.are_equal(found, texts, np.arange(len(texts)))
        # Several texts of one key: the one that is looked for may stand further on.
        for number in np.flatnonzero(~is_there & (self._keys[places] == texts.keys)).tolist():
            found[number] = self._search(texts.text(number), int(places[number]))
            is_there[number] = True
        return np.where(is_there, found, -1)

    def place(self, text: str) -> int:
        """Return the place of one text, -1 when there is none."""
        encoded = np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
        key = text_keys(encoded, np.zeros(1, np.int64), np.array([len(encoded)]))[0]
        return self._search(text, int(np.searchsorted(self._keys, key)))

    def _search(self, text: str, start: int) -> int:
        key = self._keys[start] if start < len(self._keys) else None
        while start < len(self._keys) and self._keys[start] == key:
            if self.column.text(int(self._order[start])) == text:
                return int(self._order[start])
            start += 1
        return -1


def first_fields(path: Path) -> TextColumn:
    """Return the first field of every line but the first; empty lines do not count.

    Raises:
        ManifestError: the file is missing or empty.
    """
    content = read_bytes(path)
    starts, ends = line_bounds(content)
    is_filled = ends > starts
    is_filled[:1] = False
    starts, ends = starts[is_filled], ends[is_filled]
    tabs = np.append(places_of(content, TAB), len(content))
    return TextColumn.cut_from(
        content, starts, np.minimum(ends, tabs[np.searchsorted(tabs, starts)])
    )
