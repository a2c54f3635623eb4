"""``.mat`` files of fairseq-signals as segments, unchanged.

Standardised values stay standardised, as they are trained on; ``matlab5.read_fairseq_signals``
gives mV instead. Layout of the files: fact sheet ecg-fm 1.3.
"""

import math
import os
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.array_checks import to_float32
from ecg_fairseq.records.readers.fairseq_signals_mat import read_signal_arrays
from ecg_fairseq.records.readers.text_lines import Fields, parse_integers, places_of
from ecg_fairseq.records.segments.segment import StoredSegment

_SLASH, _DOT = ord("/"), ord(".")


class MatFiles:
    """The files that a manifest lists.

    Args:
        fields: its lines; the first field is a path, or what the paths of a pair have in common.
        root: the folder that paths are relative to.
        commas: for pairs, where the comma of each last field stands, int (N,).
        extension: of the files of pairs.

    Raises:
        ManifestError: a path is absolute or leads out of the root.
    """

    def __init__(
        self, fields: Fields, root: Path, commas: np.ndarray | None = None, extension: str = ""
    ) -> None:
        self.root = str(root)
        self.extension = extension
        self._content = fields.content
        self._starts = fields.starts[:, 0].copy()
        self._ends = fields.ends[:, 0].copy()
        _check_paths(fields)
        self._pairs: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        if commas is not None:
            starts, ends = fields.starts[:, 3].copy(), fields.ends[:, 3].copy()
            for begin, end in ((starts, commas), (commas + 1, ends)):
                _, is_number = parse_integers(fields.content, begin, end)
                fields.refuse(~is_number, "expected the numbers of two segments, as in 0,1")
            self._pairs = starts, commas, ends

    def read(self, index: int, num_samples: int) -> StoredSegment:
        """Return the segment of one line."""
        name = self._text(self._starts[index], self._ends[index])
        return read_mat_segment(f"{self.root}/{name}", num_samples)

    def read_pair(self, index: int, num_samples: int) -> tuple[StoredSegment, StoredSegment]:
        """Return both segments of one line of pairs: ``stem_i.mat`` and ``stem_j.mat``.

        Raises:
            RecordError: they are of two recordings.
        """
        if self._pairs is None:
            raise ValueError("read_pair on a list of single files")
        starts, commas, ends = (places[index] for places in self._pairs)
        stem = f"{self.root}/{self._text(self._starts[index], self._ends[index])}"
        numbers = self._text(starts, commas), self._text(commas + 1, ends)
        first, second = (
            read_mat_segment(f"{stem}_{number}.{self.extension}", num_samples) for number in numbers
        )
        if (first.idx, first.patient) != (second.idx, second.patient):
            raise RecordError(
                f"{stem}_{numbers[0]} and _{numbers[1]}.{self.extension} are of recordings "
                f"{first.idx} and {second.idx}; the two segments of a pair are of one: make the "
                "manifest anew"
            )
        return first, second

    def _text(self, start: int, end: int) -> str:
        # A file name may be any bytes.
        return os.fsdecode(self._content[start:end].tobytes())


def _check_paths(fields: Fields) -> None:
    """Refuse paths that are empty or absolute, that go upwards, or hold a NUL."""
    content, starts, ends = fields.content, fields.starts[:, 0], fields.ends[:, 0]
    if not len(fields):
        return
    fields.refuse(starts >= ends, "the path is empty")
    fields.refuse(content[starts] == _SLASH, "the path is absolute, expected one under the root")
    is_bad = np.zeros(len(fields), dtype=bool)
    dots = places_of(content, _DOT)
    doubled = dots[:-1][np.diff(dots) == 1]
    for place in np.concatenate([doubled, places_of(content, 0)]):
        line = int(np.searchsorted(starts, place, side="right")) - 1
        if line >= 0 and starts[line] <= place < ends[line]:
            path = content[starts[line] : ends[line]].tobytes()
            is_bad[line] |= b".." in path.split(b"/") or b"\0" in path
    fields.refuse(is_bad, "the path leads out of the root folder")


def read_mat_segment(path: str, num_samples: int) -> StoredSegment:
    """Read one file of fairseq-signals as it is.

    Args:
        path: the file.
        num_samples: what the manifest says.

    Raises:
        RecordError: it is missing or damaged, or holds another number of samples.
    """
    where = Path(path)
    stored = read_signal_arrays(where)
    arrays, feats = stored.arrays, stored.feats
    if feats.shape[1] != num_samples:
        raise RecordError(
            f"{path} holds {feats.shape[1]} samples, its manifest says {num_samples}; make the "
            "manifest anew"
        )
    label = arrays.get("label")
    return StoredSegment(
        to_float32(feats),
        stored.leads,
        stored.fs_hz,
        _whole(arrays.get("idx")),
        None if label is None or label.dtype.kind == "U" else to_float32(label).ravel(),
        None if (patient := _whole(arrays.get("patient_id"))) < 0 else patient,
    )


def _whole(value: np.ndarray | None) -> int:
    """Return a stored number that is whole and not negative, else -1 (a text, or nothing)."""
    if value is None or value.size != 1 or value.dtype.kind not in "biuf":
        return -1
    number = float(value.ravel()[0])
    return int(number) if math.isfinite(number) and number >= 0 and number == int(number) else -1
