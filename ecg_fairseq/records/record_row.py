"""What a manifest says about a recording: one line of its ``records.tsv``."""

import json
from dataclasses import dataclass
from typing import Any

from ecg_fairseq.errors import ManifestError

SPLITS = ("train", "valid", "test")
COLUMNS = (
    "record_id",
    "patient_id",
    "split",
    "age",
    "sex",
    "fs_hz",
    "labels",
    "report",
    "source",
    "status",
    "reason",
    "first_row",
    "num_segments",
)


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One line of ``records.tsv``.

    Attributes:
        split: ``train``, ``valid``, ``test``, or empty for a record that is on no side.
        age: years, or None when unknown.
        sex: ``female``, ``male`` or empty.
        labels_json: the labels as JSON text; see :attr:`labels`.
        status: ``ok`` or ``skipped`` (then ``reason`` says why).
        first_row: first row in the store; its segments follow each other.
    """

    record_id: str
    patient_id: str
    split: str = ""
    age: float | None = None
    sex: str = ""
    fs_hz: float = 0.0
    labels_json: str = "{}"
    report: str = ""
    source: str = ""
    status: str = "ok"
    reason: str = ""
    first_row: int = -1
    num_segments: int = 0

    @property
    def labels(self) -> dict[str, Any]:
        """Labels, as the dataset gives them (``scp_codes``, ``superclass``, ...)."""
        return json.loads(self.labels_json)

    @property
    def is_ok(self) -> bool:
        """Whether the record can be used."""
        return self.status == "ok"

    def to_line(self) -> str:
        """Return the tab-separated line; tabs and line breaks in text become spaces."""
        values = (
            self.record_id,
            self.patient_id,
            self.split,
            "" if self.age is None else f"{self.age:g}",
            self.sex,
            f"{self.fs_hz:g}",
            self.labels_json,
            self.report,
            self.source,
            self.status,
            self.reason,
            str(self.first_row),
            str(self.num_segments),
        )
        return "\t".join(one_line(value) for value in values)

    @classmethod
    def from_line(cls, line: str, where: str) -> "RecordRow":
        """Parse a line; ManifestError starts with ``where``."""
        cells = line.rstrip("\n").split("\t")
        if len(cells) != len(COLUMNS):
            raise ManifestError(f"{where}: {len(cells)} columns, expected {len(COLUMNS)}")
        try:
            return cls(
                record_id=cells[0],
                patient_id=cells[1],
                split=cells[2],
                age=float(cells[3]) if cells[3] else None,
                sex=cells[4],
                fs_hz=float(cells[5]),
                labels_json=cells[6],
                report=cells[7],
                source=cells[8],
                status=cells[9],
                reason=cells[10],
                first_row=int(cells[11]),
                num_segments=int(cells[12]),
            )
        except ValueError as error:
            raise ManifestError(f"{where}: {error}; make the manifest anew") from error


def one_line(text: str) -> str:
    """Return ``text`` with tabs and line breaks replaced by spaces."""
    if text.isprintable():
        return text
    for character in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029":
        text = text.replace(character, " ")
    return text
