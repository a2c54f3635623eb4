"""Reads texts to label: one a line, or a column of a table."""

from pathlib import Path

from ecg_fairseq.errors import LabelerError
from ecg_fairseq.records.readers.csv_table import read_csv_lines

_TABLES = (".csv", ".tsv")
_DELIMITERS = (",", ";", "\t")
_ADVICE = "; check the path and the file, which must be UTF-8"


def read_texts(path: Path, column: str | None = None) -> list[str]:
    """Return the texts of a file, in its order; empty lines are empty texts.

    Args:
        path: UTF-8, with one text a line; or a table ``.csv`` or ``.tsv``, whose cells commas,
            semicolons or tabs separate, whichever its header has the most of.
        column: of the table, which needs one; no other file may have one.

    Raises:
        LabelerError: the file is missing, of another encoding or without any text, the column is
            not there, or a line has not as many cells as the header.
    """
    is_table = path.suffix.lower() in _TABLES
    if is_table != (column is not None):
        raise LabelerError(
            f"{path}: name the column of a {path.suffix.lower()[1:].upper()} file with --column"
            if is_table
            else f"--column {column}: {path} is no .csv file and no .tsv file; leave it out, or "
            "rename the file"
        )
    texts = _lines(path) if column is None else _cells(path, column)
    if not any(text.strip() for text in texts):
        raise LabelerError(f"{path} holds no text to label; check the file")
    return texts


def _lines(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            return [line.rstrip("\r\n") for line in stream]
    except UnicodeDecodeError as error:
        raise LabelerError(
            f"{path} is not UTF-8 (byte {error.start}); save it with that encoding, for instance "
            f"with: iconv -f latin1 -t utf-8 {path.name}"
        ) from error
    except OSError as error:
        raise LabelerError(f"{path} cannot be read: {error}; check the path") from error


def _cells(path: Path, column: str) -> list[str]:
    """Return the cells of a column, as they stand."""
    headers = {
        mark: next(read_csv_lines(path, "", LabelerError, _ADVICE, delimiter=mark), [])
        for mark in _DELIMITERS
    }
    delimiter = max(_DELIMITERS, key=lambda mark: len(headers[mark]))
    header = [name.strip() for name in headers[delimiter]]
    if header.count(column) != 1:
        raise LabelerError(
            f"{path} has {'twice the' if column in header else 'no'} column {column!r} (found: "
            f"{', '.join(map(repr, header))}); choose one with --column"
        )
    # A blank behind a delimiter would make a quote part of the text.
    lines = read_csv_lines(
        path, "", LabelerError, _ADVICE, delimiter=delimiter, strict=True, skipinitialspace=True
    )
    next(lines)
    place, texts = header.index(column), []
    for number, cells in enumerate(lines, 2):
        if len(cells) != len(header):
            raise LabelerError(
                f"{path} line {number} has {len(cells)} cells, its header {len(header)}; quote "
                "texts that hold commas"
            )
        texts.append(cells[place])
    return texts
