"""Reads texts to label: one a line, or a column of a CSV file."""

import csv
from pathlib import Path

from ecg_fairseq.errors import LabelerError


def read_texts(path: Path, column: str | None = None) -> list[str]:
    """Return the texts of a file, in its order; empty lines are empty texts.

    Args:
        path: UTF-8, with one text a line; or ``.csv``.
        column: of the CSV file, which needs one; no other file may have one.

    Raises:
        LabelerError: the file is missing or of another encoding, or the column is not there.
    """
    is_csv = path.suffix.lower() == ".csv"
    if is_csv != (column is not None):
        raise LabelerError(
            f"{path}: name the column of a CSV file with --column"
            if is_csv
            else f"--column {column}: {path} is no .csv file; leave it out, or rename the file"
        )
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            if column is None:
                return [line.rstrip("\r\n") for line in stream]
            reader = csv.DictReader(stream, strict=True)
            if column not in (reader.fieldnames or ()):
                raise LabelerError(
                    f"{path} has no column {column!r} (found: "
                    f"{', '.join(map(repr, reader.fieldnames or ()))}); choose one with --column"
                )
            return [row[column] or "" for row in reader]
    except UnicodeDecodeError as error:
        raise LabelerError(
            f"{path} is not UTF-8 (byte {error.start}); save it with that encoding, for instance "
            f"with: iconv -f latin1 -t utf-8 {path.name}"
        ) from error
    except (OSError, csv.Error) as error:
        raise LabelerError(
            f"{path} cannot be read: {error}; check the path and the file"
        ) from error
