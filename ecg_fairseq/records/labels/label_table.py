"""Labels of a dataset from a CSV table: one line a recording, one column of 0 and 1 a label.

The first column of these names says which recording a line is about: ``record_id``, the names that
the dataset itself uses (``study_id``, ``ecg_id``, ...), ``path``, ``save_file``, or ``idx`` as in
ECG-FM's released ``labels.csv``, which is looked up in ``meta_split.csv`` or ``meta.csv`` beside
the table or one folder above it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.readers.csv_table import read_csv_lines, read_user_lines
from ecg_fairseq.records.source_record import SourceRecord

_TRUTH = {
    **dict.fromkeys(("1", "1.0", "1,0", "true"), True),
    **dict.fromkeys(("0", "0.0", "0,0", "false"), False),
}
_NOT_LABELS = ("patient_id", "subject_id", "split", "age", "sex", "report", "source", "dataset")
_INDEX_TABLES = ("meta_split.csv", "meta.csv")
_SUFFIXES = (".mat", ".hea", ".dat", ".xml", ".npy", ".csv", ".dcm")
_PIECES = re.compile(r"[_/-]")


@dataclass
class LabelTable:
    """What a table says about the recordings of a dataset.

    Attributes:
        names: of the labels, in the order of the columns.
        positives: record id -> the labels that are true of it.
        num_unmatched: number of lines about no recording of the dataset.
        unmatched: what the first of these calls its recording.
    """

    names: tuple[str, ...]
    positives: dict[str, tuple[str, ...]]
    num_unmatched: int = 0
    unmatched: str = ""


def truth_of(cell: str) -> bool | None:
    """Return whether a cell says yes (``1``, ``true``) or no (``0``, ``false``), None if neither.

    >>> truth_of("True"), truth_of("0.0"), truth_of("maybe")
    (True, False, None)
    """
    return _TRUTH.get(cell.strip().lower())


def read_label_table(
    path: Path, sources: Sequence[SourceRecord], id_columns: Sequence[str] = ()
) -> LabelTable:
    """Read a label table.

    Args:
        sources: recordings that its lines may be about.
        id_columns: what the dataset's own tables call record ids (``study_id``).

    Raises:
        ManifestError: the table is missing or damaged, holds other values than 0 and 1, or names a
            recording twice.
    """
    lines = read_user_lines(path, "label table")
    header = next(lines, [])
    key = next((name for name in _key_names(id_columns) if name in header), None)
    columns = [(n, name) for n, name in enumerate(header) if _is_label(name, id_columns)]
    names = tuple(name for _, name in columns)
    if key is None or not names or len(set(header)) != len(header):
        raise ManifestError(
            f"label table {path} has the columns {', '.join(header)[:200]}; expected one of "
            f"{', '.join(_key_names(id_columns))}, and a column for each label, all different"
        )
    place, known = header.index(key), _known_names(sources)
    stems = _save_files(path) if key == "idx" else {}
    found, kinds = LabelTable(names, {}), dict[tuple[str, ...], tuple[str, ...]]()
    for number, cells in enumerate(lines, 2):
        if len(cells) != len(header):
            raise ManifestError(
                f"label table {path} line {number} has {len(cells)} cells, its header "
                f"{len(header)}; quote texts that hold commas"
            )
        truths = _truths(cells, columns, f"label table {path} line {number}")
        text = stems.get(cells[place], "") if key == "idx" else cells[place]
        record_id = _record_id(text, known, is_file=key in ("idx", "save_file", "path"))
        if record_id is None:
            found.num_unmatched += 1
            found.unmatched = found.unmatched or text or f"{key} {cells[place]}"
        elif record_id in found.positives:
            raise ManifestError(
                f"label table {path} line {number}: {key} {cells[place]!r} is recording "
                f"{record_id}, which another line labels already"
            )
        else:
            # Most recordings share their labels with many others: one tuple for all of them.
            found.positives[record_id] = kinds.setdefault(truths, truths)
    return found


def _key_names(id_columns: Sequence[str]) -> tuple[str, ...]:
    return ("record_id", *id_columns, "path", "save_file", "idx")


def _is_label(name: str, id_columns: Sequence[str]) -> bool:
    return bool(name) and name not in _NOT_LABELS and name not in _key_names(id_columns)


def _truths(cells: list[str], columns: list[tuple[int, str]], where: str) -> tuple[str, ...]:
    true = []
    for place, name in columns:
        truth = truth_of(cells[place])
        if truth is None:
            raise ManifestError(
                f"{where}: column {name} holds {cells[place][:40]!r}; expected 0 or 1 (leave out "
                "columns that are no labels, and lines of recordings that nobody labelled)"
            )
        if truth:
            true.append(name)
    return tuple(true)


def _known_names(sources: Sequence[SourceRecord]) -> dict[str, str]:
    """Return how a recording may be called -> its record id."""
    known = {}
    for source in sources:
        if source.source:
            known[without_suffix(source.source)] = source.record_id
    return known | {source.record_id: source.record_id for source in sources}


def without_suffix(name: str) -> str:
    """Return a recording's name without the extension of a format that is read here."""
    suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
    return name.removesuffix(suffix)


def _record_id(text: str, known: dict[str, str], is_file: bool) -> str | None:
    """Return the record that a cell means; file names may hold its id as their end."""
    text = text.strip()
    if text in known:
        return known[text]
    if not is_file:
        return known.get(text.removesuffix(".0"))
    stem = without_suffix(text)
    if stem in known:
        return known[stem]
    for piece in _PIECES.finditer(stem):
        if stem[piece.end() :] in known:
            return known[stem[piece.end() :]]
    return None


def _save_files(path: Path) -> dict[str, str]:
    """Return idx -> file name of the .mat, from fairseq-signals' tables near a label table."""
    for folder in (path.parent, path.parent.parent):
        for name in _INDEX_TABLES:
            if (folder / name).is_file():
                return _read_index(folder / name)
    raise ManifestError(
        f"label table {path} names recordings by idx; put its meta_split.csv or meta.csv (columns "
        "idx and save_file) beside it, or give it a column record_id"
    )


def _read_index(path: Path) -> dict[str, str]:
    lines = read_csv_lines(path, "label table")
    header = next(lines, [])
    if "idx" not in header or "save_file" not in header:
        raise ManifestError(f"{path} has no columns idx and save_file; is it fairseq-signals' own?")
    idx, file = header.index("idx"), header.index("save_file")
    return {
        cells[idx]: PurePosixPath(cells[file]).name for cells in lines if len(cells) == len(header)
    }
