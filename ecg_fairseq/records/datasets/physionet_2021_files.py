"""The files of the PhysioNet/CinC Challenge 2021: which source lies where, and what headers say.

``training/SOURCE/gN/NAME.hea``; a source's folder without gN, the ``WFDB_...`` folders of the
challenge's first download, and ``WFDBRecords`` of PhysioNet's ecg-arrhythmia are taken, too.
Diagnoses are SNOMED CT codes in the comments. Reyna et al., CinC 2021; fact sheet ecg-fm 1.4.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.records.datasets.header_layout import RecordNaming
from ecg_fairseq.records.labels.snomed_codes import parse_codes
from ecg_fairseq.records.readers.wfdb_comments import (
    comment_lines,
    comment_value,
    parse_age,
    parse_sex,
)
from ecg_fairseq.records.readers.wfdb_header import read_header_text
from ecg_fairseq.records.source_record import SourceRecord, labels_text

SOURCES = (
    "cpsc_2018",
    "cpsc_2018_extra",
    "st_petersburg_incart",
    "ptb",
    "ptb-xl",
    "georgia",
    "chapman_shaoxing",
    "ningbo",
)
CSN = ("chapman_shaoxing", "ningbo")
# fairseq-signals' recommendation leaves out the two sources of long recordings and few patients.
RECOMMENDED = tuple(name for name in SOURCES if name not in ("ptb", "st_petersburg_incart"))
SOURCE_GROUPS = {
    "all": SOURCES,
    "recommended": RECOMMENDED,
    "csn": CSN,
    "incart": ("st_petersburg_incart",),
    "ptb_xl": ("ptb-xl",),
}
_FIRST_DOWNLOAD = {
    "cpsc_2018": "WFDB_CPSC2018",
    "cpsc_2018_extra": "WFDB_CPSC2018_2",
    "st_petersburg_incart": "WFDB_StPetersburg",
    "ptb": "WFDB_PTB",
    "ptb-xl": "WFDB_PTBXL",
    "georgia": "WFDB_Ga",
    "chapman_shaoxing": "WFDB_ChapmanShaoxing",
    "ningbo": "WFDB_Ningbo",
}
_LAST_CHAPMAN = 10646
_PREFIXES = {
    "cpsc_2018": ("A", 4),
    "cpsc_2018_extra": ("Q", 4),
    "st_petersburg_incart": ("I", 4),
    "ptb": ("S", 4),
    "ptb-xl": ("HR", 5),
    "georgia": ("E", 5),
    "chapman_shaoxing": ("JS", 5),
    "ningbo": ("JS", 5),
    "": ("JS", 5),
}


@dataclass(frozen=True)
class FoundFiles:
    """What the folders hold: sources, those left out, and paths by (source and gain)."""

    records: list[SourceRecord]
    left_out: list[tuple[str, str, str]]
    by_gain: dict[str, list[str]]


def parse_sources(text: str) -> tuple[str, ...]:
    """Return the sources named in ``georgia,csn``, in the challenge's order.

    Raises:
        ManifestError: an unknown name.
    """
    wanted: set[str] = set()
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in SOURCE_GROUPS and name not in SOURCES:
            known = ", ".join((*SOURCES, *SOURCE_GROUPS))
            raise ManifestError(f"--sources {name!r}; expected some of {known}")
        wanted.update(SOURCE_GROUPS.get(name, (name,)))
    if not wanted:
        raise ManifestError("--sources is empty; name at least one source")
    return tuple(name for name in SOURCES if name in wanted)


def find_records(folder: Path, sources: Sequence[str]) -> FoundFiles:
    """Read all headers of the sources.

    Args:
        folder: the challenge's folder, its ``training/``, or the folder of one source.

    Raises:
        ManifestError: the folder is missing, holds none of the sources, or is of another one.
    """
    scan = FoundFiles([], [], {})
    for root, source in _source_folders(folder, sources):
        headers, signals, lists = _files_below(root)
        have = {path.stem for path in headers}
        naming = _naming(source)
        own, others = naming.own(headers, root)
        for path in own:
            _add(scan, path, root, source)
        reason = naming.why_left_out()
        scan.left_out.extend((path.stem, path.stem, reason) for path in others)
        for name in dict.fromkeys(path.stem for path in signals if path.stem not in have):
            reason = f"no header {name}.hea beside {name}.mat; copy it again"
            scan.left_out.append((name, name, reason))
        have |= {path.stem for path in signals}
        for name in _listed(lists):
            if name not in have:
                reason = "named in RECORDS, but its files are not there; copy them again"
                scan.left_out.append((name, name, reason))
    if not scan.records:
        raise ManifestError(f"no WFDB header (*.hea) below {folder}; check the folder")
    return scan


def _naming(source: str) -> RecordNaming:
    """Return how a source calls its records; an empty one is both of CSN's hospitals."""
    prefix, digits = _PREFIXES[source]
    what = f"the challenge's {source or ' and '.join(CSN)}"
    return RecordNaming(what, prefix, f"{prefix}{1:0{digits}d}")


def _files_below(root: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Return headers, signal files and RECORDS lists, each sorted by path."""
    headers, signals, lists = [], [], []
    for folder, folders, names in os.walk(root.resolve()):
        folders.sort()
        # Copies from a Mac bring files that begin with a dot along.
        for name in sorted(name for name in names if not name.startswith(".")):
            if name.endswith(".hea"):
                headers.append(Path(folder, name))
            elif name.endswith(".mat"):
                signals.append(Path(folder, name))
            elif name == "RECORDS":
                lists.append(Path(folder, name))
    return headers, signals, lists


def _listed(lists: Sequence[Path]) -> list[str]:
    """Return the record names in RECORDS files; lines that name folders are left out."""
    names = []
    for path in lists:
        try:
            lines = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError):
            continue  # only a list of what should be there
        is_record = (not line.endswith("/") and not (path.parent / line).is_dir() for line in lines)
        names += [Path(line).name for line, keep in zip(lines, is_record, strict=True) if keep]
    return list(dict.fromkeys(names))


def _source_folders(folder: Path, sources: Sequence[str]) -> list[tuple[Path, str]]:
    """Return (folder, source) of what is there; an empty source is told by the record's number."""
    if not folder.is_dir():
        raise ManifestError(f"folder not found: {folder}; check the path")
    present = {source: place for source in SOURCES for place in _places(folder, source)}
    found = [(present[source], source) for source in sources if source in present]
    if found:
        missing = [source for source in sources if source not in present]
        if missing:
            print(f"not in {folder}: {', '.join(missing)}", file=sys.stderr)
        return found
    own_name = folder.resolve().name
    named = [source for source in SOURCES if own_name in (source, _FIRST_DOWNLOAD[source])]
    if named and named[0] in sources:
        return [(folder, named[0])]
    is_one = len(sources) == 1 or set(sources) == set(CSN)
    if present or named or not is_one:
        raise ManifestError(
            f"{folder} holds none of {', '.join(sources)} (there: "
            f"{', '.join(present) or 'no source that is known by name'}); expected the challenge's "
            "folder, its training/, or one source's own folder"
        )
    return [(folder, sources[0] if len(sources) == 1 else "")]


def _places(folder: Path, source: str) -> list[Path]:
    """Return where a source lies below the challenge's folder or its training/: one or no path."""
    names = (source, _FIRST_DOWNLOAD[source])
    places = (base / name for base in (folder / "training", folder) for name in names)
    return [place for place in places if place.is_dir()][:1]


def _add(scan: FoundFiles, path: Path, root: Path, source: str) -> None:
    name = path.stem
    try:
        text = read_header_text(path)
    except RecordError:
        text = ""  # the preparation reads it again and lists it with the reason
    comments = comment_lines(text)
    source = source or _chapman_or_ningbo(name)
    signals = [line for line in text.splitlines() if line and not line.startswith("#")][1:]
    record = SourceRecord(
        record_id=name,
        patient_id=name,
        path=str(path.with_suffix("")),
        source=f"{source}/{path.relative_to(root.resolve()).with_suffix('')}",
        age=parse_age(comment_value(comments, "age")),
        sex=parse_sex(comment_value(comments, "sex")),
        labels_json=labels_text({"snomed": parse_codes(comment_value(comments, "dx"))}),
    )
    scan.records.append(record)
    gain = signals[0].split()[2] if signals and len(signals[0].split()) > 2 else "no gain"
    scan.by_gain.setdefault(f"{source}, {gain}", []).append(record.path)


def _chapman_or_ningbo(name: str) -> str:
    """Return the hospital of a record ``JSnnnnn``: Ningbo's numbers follow Chapman-Shaoxing's."""
    number = name.removeprefix("JS")
    return CSN[number.isdecimal() and int(number) > _LAST_CHAPMAN]
