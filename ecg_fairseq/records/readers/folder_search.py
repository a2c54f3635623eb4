"""Finds the recordings in a folder, whatever their format; content decides, not the extension.

A recording is listed once: files that a WFDB header names belong to it, and so do the segments of
a multi-segment header; a sidecar belongs to its array. What is no recording (tables, lists, notes)
is counted by extension, not taken for a broken one. Links to files are followed, links to folders
are not; hidden files are passed over.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from numpy.lib.format import MAGIC_PREFIX as NPY_MAGIC

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers import code_15_hdf5 as hdf5_reader
from ecg_fairseq.records.readers import dicom as dicom_reader
from ecg_fairseq.records.readers import fairseq_signals_mat as matlab5
from ecg_fairseq.records.readers.cardiosoft_xml import ROOT as CARDIOSOFT_ROOT
from ecg_fairseq.records.readers.challenge_mat import is_matlab4
from ecg_fairseq.records.readers.csv_signal import SNIFF_BYTES, is_csv, names_leads
from ecg_fairseq.records.readers.device_xml import root_name
from ecg_fairseq.records.readers.muse_xml import ROOT as MUSE_ROOT
from ecg_fairseq.records.readers.wfdb_header import read_header_text

_HEADER = ".hea"
_MASTER_LINE = re.compile(r"[^\s/]+/\d+\s")
_MATLAB = (matlab5.MAGIC, b"MATLAB 7.3 MAT-file")
_EMPTY_ROW_ID = 0  # exam id of the row of zeros that ends a CODE-15% part


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A recording: its file (a WFDB record's without ``.hea``), and its row in a CODE-15% part."""

    path: Path
    row: int = -1


@dataclass
class FoundRecords:
    """What a folder holds.

    Attributes:
        records: name -> recording, sorted by name: its path below the folder without extension
            (with it, where two would be called the same); in a CODE-15% part, followed by the exam
            id.
        others: extension, or the name of a file without one -> number of files that are no
            recordings.
    """

    records: dict[str, FoundRecord] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)


def find_records(folder: Path) -> FoundRecords:
    """Search a folder and all below it for recordings.

    Files are only looked at: a damaged recording is listed, and refused when it is read.
    """
    root = folder.resolve()
    found: list[tuple[str, str, FoundRecord]] = []
    others: Counter[str] = Counter()
    for place, names in _folders(root):
        claimed = _claimed(place, names)
        free = [place / name for name in names if name not in claimed]
        listed = {path: list(_records_in(path)) for path in free if path.is_file()}
        sidecars = {path.with_suffix(".json") for path, records in listed.items() if records}
        for path, records in listed.items():
            stem, full = path.with_suffix("").relative_to(root), path.relative_to(root)
            for item, record in records:
                found.append((str(stem / item), str(full / item), record))
            if not records and path not in sidecars:
                others[path.suffix.lower() or path.name] += 1
    times = Counter(name for name, _, _ in found)
    named = {name if times[name] == 1 else full: record for name, full, record in found}
    return FoundRecords(dict(sorted(named.items())), dict(sorted(others.items())))


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    for place, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(place), sorted(name for name in names if not name.startswith("."))


def _claimed(place: Path, names: list[str]) -> set[str]:
    """Return the signal files of a folder's WFDB headers, and the headers that are segments."""
    claimed: set[str] = set()
    for name in names:
        if not name.endswith(_HEADER):
            continue
        claimed |= {f"{name[:-4]}.dat", f"{name[:-4]}.mat"}
        try:
            lines = read_header_text(place / name).splitlines()
        except RecordError:
            continue  # The header is listed all the same, and reading it will say what is wrong.
        lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        words = {line.split(maxsplit=1)[0] for line in lines[1:]}
        if lines and _MASTER_LINE.match(lines[0]):
            claimed |= {f"{word}{_HEADER}" for word in words} - {name}
        else:
            claimed |= {word for word in words if not word.endswith(_HEADER)}
    return claimed


def _records_in(path: Path) -> Iterator[tuple[str, FoundRecord]]:
    """Yield (name within the file, recording); nothing for a file that is no recording."""
    if path.suffix == _HEADER:
        yield "", FoundRecord(path.resolve().with_suffix(""))
        return
    start = _start_of(path)
    if start.startswith(hdf5_reader.MAGIC):
        yield from _rows(path)
    elif _is_recording(start, path):
        yield "", FoundRecord(path)


def _start_of(path: Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(SNIFF_BYTES)
    except OSError:
        return b""


def _is_recording(start: bytes, path: Path) -> bool:
    has_sidecar = path.with_suffix(".json").is_file()
    if start.startswith(NPY_MAGIC):
        return has_sidecar  # Nothing else says what an array is.
    if dicom_reader.is_dicom(start):
        return dicom_reader.WAVEFORM_STORAGE in start or dicom_reader.STORAGE not in start
    if start.startswith(_MATLAB) or is_matlab4(start):
        return True
    if start.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \r\n\t").startswith(b"<"):
        return root_name(start) in (MUSE_ROOT, CARDIOSOFT_ROOT)
    return names_leads(start) or (has_sidecar and path.suffix != ".json" and is_csv(start))


def _rows(path: Path) -> Iterator[tuple[str, FoundRecord]]:
    """Yield the rows of a CODE-15% part by exam id; of a part that cannot be read, the file."""
    try:
        exam_ids = hdf5_reader.read_exam_ids(path).tolist()
    except RecordError:
        yield "", FoundRecord(path)
        return
    times = Counter(exam_ids)
    for row, exam_id in enumerate(exam_ids):
        if exam_id != _EMPTY_ROW_ID:
            name = str(exam_id) if times[exam_id] == 1 else f"{exam_id}:{row}"
            yield name, FoundRecord(path, row)
