"""Tables as CSV: every such file of a user or of a published dataset is read here.

Cells stay texts, so that an id ``00123`` keeps its zeros and ``NA`` is a name; a short line keeps
its number of cells, so that it can be told from one whose last cells are empty. Lines come one by
one: tables of a million recordings are not held.
"""

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import EcgError, ManifestError

_DELIMITERS = (",", ";", "\t")


def read_csv_lines(
    path: Path | str,
    what: str,
    error: type[EcgError] = ManifestError,
    advice: str = "",
    **dialect: Any,
) -> Iterator[list[str]]:
    """Yield the cells of each line, the header's first; empty lines are left out.

    Args:
        path: UTF-8 with or without a byte order mark, lines ended in any way.
        what: what the table is, for messages.
        error: what to raise.
        advice: end of the message.
        dialect: as for :func:`csv.reader`.

    Raises:
        EcgError: the class ``error``: it is missing or damaged.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            yield from (cells for cells in csv.reader(stream, **dialect) if cells)
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        named = f"{what} {path}".strip()
        raise error(f"{named} cannot be read: {cause}{advice}") from cause


def read_user_lines(path: Path | str, what: str) -> Iterator[list[str]]:
    """Yield the cells of a table that a user wrote, without outer blanks.

    Cells are separated by commas, semicolons or tabs, whichever the header has the most of.

    Raises:
        ManifestError: it is missing or damaged, or a column is there twice.
    """
    headers = {mark: next(read_csv_lines(path, what, delimiter=mark), []) for mark in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda mark: len(headers[mark]))
    names = [name.strip() for name in headers[delimiter] if name.strip()]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ManifestError(
            f"{what} {path} has the column {doubled[0]} twice; its columns must be all different: "
            "leave one, or rename it"
        )
    # A blank behind a delimiter would make a quote part of the text.
    lines = read_csv_lines(path, what, delimiter=delimiter, skipinitialspace=True)
    for cells in lines:
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield stripped


def rows_of(header: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[dict[str, str]]:
    """Yield lines as column -> cell; cells that a short line lacks are empty, those behind the
    header's end are left out.
    """
    for cells in lines:
        yield dict(itertools.zip_longest(header, cells[: len(header)], fillvalue=""))
