"""Databases whose raw folder is WFDB headers and no table: what tells it from another's folder.

A table names its dataset by its columns; headers do it by how records are called (E00001 is
Georgia's). Two databases come in a layout of their own, which knows patients, and as the
challenge's copy of it, which does not.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.records.labels.label_set import label_set_of_what_occurs
from ecg_fairseq.records.manifest.splits import keep_fraction
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.readers.wfdb_comments import comment_lines
from ecg_fairseq.records.readers.wfdb_header import read_header_text
from ecg_fairseq.records.source_record import SourceRecord


@dataclass(frozen=True)
class RecordNaming:
    """How a database calls its records.

    Attributes:
        what: the database, for messages.
        prefix: before the number; empty where a record is called by its number alone.
        example: a name.
    """

    what: str
    prefix: str
    example: str

    def fits(self, name: str) -> bool:
        """Say whether a record may be the database's.

        >>> RecordNaming("georgia", "E", "E00001").fits("00001_hr")
        False
        """
        return re.fullmatch(rf"{self.prefix}[0-9]+", name) is not None

    def own(self, headers: Sequence[Path], folder: Path) -> tuple[list[Path], list[Path]]:
        """Return the headers of the database's records, and the others.

        Raises:
            ManifestError: there are headers and none is the database's.
        """
        own = [path for path in headers if self.fits(path.stem)]
        if headers and not own:
            raise ManifestError(
                f"{folder} is not a folder of {self.what}: its records are called "
                f"{self.example} and so on, and none of the {len(headers)} there is (the first is "
                f"{headers[0].stem}); give the folder of {self.what}, or prepare this one under "
                "its own dataset's name (`ecg-fairseq prepare --help` lists them)"
            )
        return own, [path for path in headers if not self.fits(path.stem)]

    def why_left_out(self) -> str:
        """Return the reason for leaving out a record that is not the database's."""
        return f"not called like a record of {self.what} ({self.example}); is it another dataset's?"


def header_comments(path: Path) -> list[str]:
    """Return a header's comments; none of a damaged one, which the preparation lists as such."""
    try:
        return comment_lines(read_header_text(path))
    except RecordError:
        return []


@dataclass(frozen=True)
class HeaderLayout:
    """A database in the layout that it was published in.

    Attributes:
        name: of the dataset.
        headers: where a record's header lies, as a pattern.
        label_key: of the labels that are columns of ``labels/y.npy``, where a record has them.
        patients: where patients are known from.
        read: from a header to a record.
    """

    name: str
    headers: str
    label_key: str
    patients: str
    read: Callable[[Path], SourceRecord]

    def headers_in(self, folder: Path) -> list[Path]:
        """Return all headers, sorted; none where the folder is something else."""
        # Copies from a Mac bring files that begin with a dot along.
        return sorted(path for path in folder.glob(self.headers) if not path.name.startswith("."))

    def is_in(self, folder: Path) -> bool:
        """Say whether a folder has this layout."""
        return any(not path.name.startswith(".") for path in folder.glob(self.headers))

    def dataset(self, folder: Path, fraction: float = 1.0, seed: int = 0) -> RawDataset:
        """Return the database as a dataset; splits are drawn by patient.

        Args:
            folder: holds the headers.
            fraction: share of the patients to keep.
            seed: of that choice.

        Raises:
            ManifestError: no header is there.
        """
        headers = self.headers_in(folder)
        if not headers:
            raise ManifestError(f"no WFDB header {self.headers} below {folder}; check the folder")
        sources = [self.read(path) for path in headers]
        return RawDataset(
            self.name,
            [item for item in sources if keep_fraction(item.patient_id, fraction, seed)],
            "patient",
            label_set=label_set_of_what_occurs(self.label_key, (self.label_key,), sources),
            notes={"patients": self.patients},
        )
