"""Labels of a dataset from a CSV table: one line a recording, one column of 0 and 1 a label.

The first column of these names says which recording a line is about: ``record_id``, the names that
the dataset itself uses (``study_id``, ``ecg_id``, ...), ``path``, ``save_file``, or ``idx`` as in
ECG-FM's released ``labels.csv``, which is looked up in ``meta_split.csv`` or ``meta.csv`` beside
the table or one folder above it.

A line with a cell that says neither 0 nor 1 is of a recording that nobody labelled; above a tenth
of such cells a column is no label, and the table is refused.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
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
# Of a column of 0 and 1, this share of cells may say neither; then their rows are unlabelled.
_MOST_UNREADABLE = 0.1
_EXAMPLES = 3
_MOST_COMPARED = 1000
_NUMBER = re.compile(r"[-+]?\d*[.,]?\d+")
_OTHER_NAMES = {
    **dict.fromkeys(("recordid", "record", "ecgid", "studyid", "filename"), "record_id"),
    **dict.fromkeys(("patientid", "patient", "subjectid", "subject", "pid", "mrn"), "patient_id"),
    **dict.fromkeys(("age", "ageyears", "patientage"), "age"),
    **dict.fromkeys(("sex", "gender"), "sex"),
    **dict.fromkeys(("split", "fold", "set"), "split"),
    "report": "report",
}


@dataclass
class LabelTable:
    """What a table says about the recordings of a dataset.

    Attributes:
        names: of the labels, in the order of the columns.
        positives: record id -> the labels that are true of it; None where a cell does not tell.
        num_unmatched: number of lines about no recording of the dataset.
        unmatched: what the first of these calls its recording.
        nearly: (what a line calls its recording, record id) of unmatched lines that differ from a
            recording in zeros, ``.0``, case or Unicode form alone; at most a few.
        unreadable: label -> number of cells that say neither 0 nor 1.
    """

    names: tuple[str, ...]
    positives: dict[str, tuple[str, ...] | None]
    num_unmatched: int = 0
    unmatched: str = ""
    nearly: list[tuple[str, str]] = field(default_factory=list)
    unreadable: dict[str, int] = field(default_factory=dict)


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
        ManifestError: the table is missing or damaged, holds a column of other values than 0 and 1,
            or names a recording twice.
    """
    lines = read_user_lines(path, "label table")
    header = next(lines, [])
    key = next((name for name in _key_names(id_columns) if name in header), None)
    columns = [(n, name) for n, name in enumerate(header) if _is_label(name, id_columns)]
    if key is None or not columns:
        raise ManifestError(
            f"label table {path} has the columns {', '.join(header)[:200]}; expected one of "
            f"{', '.join(_key_names(id_columns))}, and a column for each label"
        )
    place, known = header.index(key), _known_names(sources)
    nearly_known: dict[str, str] = {}
    stems = _save_files(path) if key == "idx" else {}
    found, kinds = LabelTable(tuple(name for _, name in columns), {}), _Kinds(path, columns)
    for number, cells in enumerate(lines, 2):
        if len(cells) != len(header):
            raise ManifestError(
                f"label table {path} line {number} has {len(cells)} cells, its header "
                f"{len(header)}; quote texts that hold commas"
            )
        truths = kinds.read(cells, number)
        text = stems.get(cells[place], "") if key == "idx" else cells[place]
        record_id = _record_id(text, known, is_file=key in ("idx", "save_file", "path"))
        if record_id is None:
            found.num_unmatched += 1
            found.unmatched = found.unmatched or text or f"{key} {cells[place]}"
            if found.num_unmatched <= _MOST_COMPARED and len(found.nearly) < _EXAMPLES:
                nearly_known = nearly_known or {plain_name(name): name for name in known.values()}
                meant = nearly_known.get(plain_name(text))
                found.nearly += [(text, meant)] if meant else []
        elif record_id in found.positives:
            raise ManifestError(
                f"label table {path} line {number}: {key} {cells[place]!r} is recording "
                f"{record_id}, which another line labels already"
            )
        else:
            found.positives[record_id] = truths
    found.unreadable = kinds.checked()
    return found


def _key_names(id_columns: Sequence[str]) -> tuple[str, ...]:
    return ("record_id", *id_columns, "path", "save_file", "idx")


def _is_label(name: str, id_columns: Sequence[str]) -> bool:
    return bool(name) and name not in _NOT_LABELS and name not in _key_names(id_columns)


class _Kinds:
    """Reads the label cells of lines, and counts those that say neither 0 nor 1."""

    def __init__(self, path: Path, columns: list[tuple[int, str]]) -> None:
        self._path = path
        self._columns = columns
        self._num_lines = 0
        self._unreadable: dict[str, int] = {}
        self._first: dict[str, tuple[int, str]] = {}
        # Most recordings share their labels with many others: one tuple for all of them.
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def read(self, cells: list[str], number: int) -> tuple[str, ...] | None:
        """Return the labels that are true in a line; None when a cell does not tell."""
        self._num_lines += 1
        true, is_readable = [], True
        for place, name in self._columns:
            truth = truth_of(cells[place])
            if truth is None:
                is_readable = False
                self._unreadable[name] = self._unreadable.get(name, 0) + 1
                self._first.setdefault(name, (number, cells[place]))
            elif truth:
                true.append(name)
        truths = tuple(true)
        return self._known.setdefault(truths, truths) if is_readable else None

    def checked(self) -> dict[str, int]:
        """Return label -> number of unreadable cells.

        Raises:
            ManifestError: a column has so many that it is no label.
        """
        for name, count in self._unreadable.items():
            if not is_label_column(self._num_lines, count):
                number, cell = self._first[name]
                raise ManifestError(
                    f"label table {self._path} line {number}: column {name} holds {cell[:40]!r}; "
                    f"expected 0 or 1, as {count} of its {self._num_lines} cells do not (leave out "
                    "columns that are no labels, and lines of recordings that nobody labelled)"
                )
        return self._unreadable


def is_label_column(num_cells: int, num_unreadable: int) -> bool:
    """Say whether a column is one of 0 and 1, of which one cell, or a tenth, may say neither."""
    is_mostly_readable = num_cells - num_unreadable > num_unreadable
    return is_mostly_readable and num_unreadable <= max(1, _MOST_UNREADABLE * num_cells)


def plain_name(name: str) -> str:
    """Return a name without what tells ``5``, ``5.0`` and ``0005``, or ``P1`` and ``p1``, apart.

    >>> plain_name(" 0005.0"), plain_name("P01")
    ('5', 'p01')
    """
    text = "".join(unicodedata.normalize("NFKC", name).casefold().split())
    text = re.sub(r"^(\d+)[.,]0+$", r"\1", text)
    return re.sub(r"(?<!\d)0+(?=\d)", "", text) if _NUMBER.fullmatch(text) else text


def meant_column(name: str) -> str:
    """Return the column that a name of another spelling seems to stand for, or an empty text.

    >>> meant_column("Patient ID"), meant_column("Gender"), meant_column("AF"), meant_column("sex")
    ('patient_id', 'sex', '', '')
    """
    meant = _OTHER_NAMES.get(re.sub(r"[\W_]", "", name).lower(), "")
    return "" if meant == name else meant


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
