"""Tables that datasets publish as CSV: read line by line, with the columns that are needed."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.readers.csv_table import read_csv_lines, rows_of


def read_columns(path: Path, needed: Sequence[str], what: str) -> Iterator[dict[str, str]]:
    """Yield the lines of a CSV table; cells that a short line lacks are empty.

    Args:
        needed: columns that must be there, wherever they stand.
        what: what the table is, for messages.

    Raises:
        ManifestError: it is missing, damaged, or lacks a column.
    """
    if not path.exists():
        raise ManifestError(f"{what} not found: {path}; check the folder that was given")
    lines = read_csv_lines(path, what)
    header = next(lines, [])
    missing = [name for name in needed if name not in header]
    if missing:
        raise ManifestError(
            f"{what} {path} has no column {', '.join(missing)} (found: "
            f"{', '.join(header)[:300]}); is it the file of that dataset?"
        )
    yield from rows_of(header, lines)


def number_of(text: str | None) -> float | None:
    """Return the finite number that a cell holds, or None."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def whole_number(text: str) -> str:
    """Return ``13243.0`` as ``13243``; other texts as they are.

    >>> whole_number("13243.0")
    '13243'
    """
    number = number_of(text)
    return str(int(number)) if number is not None and number == int(number) else text.strip()
