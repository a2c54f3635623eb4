"""The segments of one split, as the training loaders read them (fact sheet ecg-fm 1.5).

Lines are ours (a row of the packed store) or those of fairseq-signals (a ``.mat`` file). Whatever
the manifest, only flat arrays are kept: a list of millions of lines is small, is shared by forked
worker processes, and loads within seconds. The lines are parsed in ``segment_lines.py``, signals
are read in ``segment_sources.py``.
"""

import logging
import os
from pathlib import Path
from typing import Self

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.readers.text_lines import (
    Fields,
    line_bounds,
    places_of,
    read_bytes,
    split_fields,
    text_keys,
)
from ecg_fairseq.records.segments.mat_segments import MatFiles
from ecg_fairseq.records.segments.segment import StoredSegment, StoreSource
from ecg_fairseq.records.segments.store_segments import (
    EXTENSION,
    StoreRows,
    is_store_line,
    read_pairs,
    read_rows,
    refuse_other_splits,
    refuse_shortened,
)

__all__ = ["CmscPairList", "IdentificationList", "SegmentList", "StoredSegment"]

logger = logging.getLogger(__name__)

_FILE_EXTENSION = "mat"
_COMMA = ord(",")
_SUB_FOLDERS = ("cmsc", "identification")


class SignalList:
    """What all lists share.

    Attributes:
        path: the manifest.
        sizes: int64 (N,), samples T of each segment.
    """

    path: Path
    sizes: np.ndarray
    _content: StoreRows | MatFiles

    @property
    def is_store(self) -> bool:
        """Whether the segments are rows of a store.

        Their recordings are known without reading then, and their signals are finite.
        """
        return isinstance(self._content, StoreRows)

    def __len__(self) -> int:
        return len(self.sizes)


class SegmentList(SignalList):
    """The segments of a plain manifest ``{split}.tsv``."""

    num_fields = 2

    def __init__(self, path: Path, fields: Fields, root: Path) -> None:
        """Use :meth:`load`."""
        self.path = path
        if is_store_line(fields):
            rows = read_rows(fields, StoreSource(root))
            refuse_other_splits(fields, path.stem, rows)
            self._content, self.sizes = rows, rows.sizes
        else:
            self.sizes = _sizes(fields)
            self._content = MatFiles(fields, root)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a manifest.

        Raises:
            ManifestError: it is missing, or a line is damaged (file and line number are named).
        """
        path = Path(path)
        fields, head = _read(path, 1, cls.num_fields)
        first = None if is_store_line(fields) else _first_text(fields, 0)
        root = _root_of(path, head[0], first)
        segments = cls(path, fields, root)
        refuse_shortened(path, root, len(fields))
        return segments

    def read(self, index: int) -> StoredSegment:
        """Return one segment; the signal of a float32 store is a read-only view.

        Raises:
            RecordError: its file is missing or damaged.
        """
        content = self._content
        if isinstance(content, StoreRows):
            return content.source.read(int(content.rows[index]), int(content.ids[index]))
        return content.read(index, int(self.sizes[index]))

    def idx_of(self, index: int) -> int:
        """Return the recording's line in ``y.npy``; -1 where a file does not say it."""
        content = self._content
        return int(content.ids[index]) if isinstance(content, StoreRows) else self.read(index).idx

    def recording_ids(self) -> np.ndarray:
        """Return ``idx_of`` of every segment, int64 (N,); reads every file of a ``.mat`` list."""
        if isinstance(self._content, StoreRows):
            return self._content.ids
        logger.info(f"{self.path}: reading {len(self):,} files to learn their recordings")
        return np.array([self.idx_of(index) for index in range(len(self))], dtype=np.int64)

    def first_leads(self) -> tuple[str, ...]:
        """Return the leads of the first segment."""
        return self.read(0).leads


class IdentificationList(SegmentList):
    """The segments of an identification manifest, each with the number of its person.

    Attributes:
        label_ids: int64 (N,), 0 to ``num_people`` - 1.
    """

    num_fields = 3

    def __init__(self, path: Path, fields: Fields, root: Path) -> None:
        super().__init__(path, fields, root)
        self.label_ids = fields.integers(2, "the person's number")
        fields.refuse(self.label_ids < 0, "the person's number is negative")

    @property
    def num_people(self) -> int:
        """How many people there are: the largest number of one, and one."""
        return int(self.label_ids.max(initial=-1)) + 1


class CmscPairList(SignalList):
    """The pairs of neighbouring segments of a manifest ``cmsc/{split}.tsv``.

    Attributes:
        recordings: int64 (N,), equal for pairs of one recording.
    """

    def __init__(self, path: Path, fields: Fields, extension: str, root: Path) -> None:
        """Use :meth:`load`."""
        self.path = path
        fields, commas = _whole_pairs(fields)
        if extension == EXTENSION:
            rows = read_pairs(fields, commas, StoreSource(root))
            refuse_other_splits(fields, path.stem, rows)
            self._content, self.recordings, self.sizes = rows, rows.ids, rows.sizes
        else:
            self.sizes = _sizes(fields)
            self._content = MatFiles(fields, root, commas, extension)
            self.recordings = text_keys(fields.content, fields.starts[:, 0], fields.ends[:, 0])

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a manifest; lines of a single segment are left out, counted and logged.

        Raises:
            ManifestError: it is missing, or a line is damaged (file and line number are named).
        """
        path = Path(path)
        fields, (root, extension) = _read(path, 2, 4)
        if extension not in (EXTENSION, _FILE_EXTENSION):
            raise ManifestError(
                f"{path} line 2: {extension!r}; expected the extension of the segments' files, "
                f"{_FILE_EXTENSION} or {EXTENSION}; make the manifest anew"
            )
        first = None
        if extension != EXTENSION:
            number = _first_text(fields, 3).partition(",")[0]
            first = f"{_first_text(fields, 0)}_{number}.{extension}"
        folder = _root_of(path, root, first)
        pairs = cls(path, fields, extension, folder)
        refuse_shortened(path, folder, len(fields))
        return pairs

    def read(self, index: int) -> tuple[StoredSegment, StoredSegment]:
        """Return both segments of a pair.

        Raises:
            RecordError: a file is missing or damaged.
        """
        content = self._content
        if isinstance(content, StoreRows):
            first, second = content.rows[index].tolist()
            idx = int(content.ids[index])
            return content.source.read(first, idx), content.source.read(second, idx)
        return content.read_pair(index, int(self.sizes[index]))

    def idx_of(self, index: int) -> int:
        """Return the recording's line in ``y.npy``; -1 where a file does not say it."""
        content = self._content
        return (
            int(content.ids[index]) if isinstance(content, StoreRows) else self.read(index)[0].idx
        )

    def first_leads(self) -> tuple[str, ...]:
        """Return the leads of the first segment."""
        return self.read(0)[0].leads


def _read(path: Path, num_head_lines: int, num_fields: int) -> tuple[Fields, list[str]]:
    """Return the fields of a manifest and its first lines, stripped."""
    content = read_bytes(path)
    starts, ends = line_bounds(content)
    filled = np.flatnonzero(ends > starts)
    count = int(filled[-1]) + 1 if len(filled) else 0
    if count < num_head_lines:
        raise ManifestError(
            f"{path} has {count} lines; expected the root folder in line 1"
            f"{' and the extension in line 2' if num_head_lines > 1 else ''}; make it anew"
        )
    head = slice(0, num_head_lines)
    numbers = np.arange(1, num_head_lines + 1)
    lines = Fields(path, content, starts[head, None], ends[head, None], numbers)
    bounds = starts[num_head_lines:count], ends[num_head_lines:count]
    fields = split_fields(path, content, bounds, num_fields, num_head_lines + 1)
    return fields, [lines.text(line, 0).strip() for line in range(num_head_lines)]


def _root_of(path: Path, root: str, first_file: str | None) -> Path:
    """Return the folder that the lines are relative to: where the list lies now, else line 1.

    A copied folder is its own, whatever line 1 says: that names where the list was made.

    Args:
        path: the list.
        root: its line 1.
        first_file: the first file that it names, of a ``.mat`` list; None for rows of a store.
    """
    own, known = path.absolute().parent, Path(root)
    own = own.parent if own.name in _SUB_FOLDERS else own
    needed = "meta.json" if first_file is None else first_file
    is_own = (own / needed).is_file() if needed else False
    if known.is_dir():
        if own.samefile(known):
            return known
        if is_own:
            logger.warning(f"{path}: using {own}, where the list lies; its line 1 names {root}")
            return own
    if first_file is not None or is_own:
        if known.is_dir():
            return known
        logger.warning(f"{path}: the folder of line 1, {root}, is not on this machine; using {own}")
        return own
    if not (known / "meta.json").is_file():
        raise ManifestError(
            f"{path}: the folder of line 1, {root}, holds no manifest (no meta.json), nor does "
            f"{own}; put the list back into its manifest folder"
        )
    logger.warning(
        f"{path} lies in no manifest folder, so the signals of the manifest that its line 1 names "
        f"are read, {root}: make sure that it is the one meant"
    )
    return known


def _first_text(fields: Fields, field: int) -> str:
    """Return a field of the first line, empty without lines; a file name may be any bytes."""
    if not len(fields):
        return ""
    start, end = int(fields.starts[0, field]), int(fields.ends[0, field])
    return os.fsdecode(fields.content[start:end].tobytes())


def _sizes(fields: Fields) -> np.ndarray:
    sizes = fields.integers(1, "the number of samples")
    fields.refuse(sizes < 1, "the number of samples is not above 0")
    return sizes


def _whole_pairs(fields: Fields) -> tuple[Fields, np.ndarray]:
    """Return the lines with two segments, and where the comma between them stands."""
    places = np.append(places_of(fields.content, _COMMA), len(fields.content))
    low = np.searchsorted(places, fields.starts[:, 3])
    count = np.searchsorted(places, fields.ends[:, 3]) - low
    fields.refuse(count > 1, "expected two segments, as in 0,1")
    is_pair = count == 1
    if is_pair.all():
        return fields, places[low]
    logger.info(
        f"{fields.path}: {int((~is_pair).sum()):,} of {len(fields):,} lines name a single segment "
        "and are left out"
    )
    return fields.chosen(is_pair), places[low[is_pair]]
