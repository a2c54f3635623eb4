"""One recording of a raw dataset: where its signal is, and what the dataset says about it."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record before preparation.

    Attributes:
        path: absolute path of the record, or of the array that holds it.
        source: path to show in the manifest, relative to the dataset.
        split: published split, or empty when the splits are drawn by patient.
        labels_json: labels as JSON text.
        array_row: row in a (N, L, T) array or in a CODE-15% part, or -1 for a record file.
        leads, fs_hz: only for rows of an array.
        unit_mv: what is stored as 1 is ``unit_mv`` mV; for a file that says mV and means uV, too.
    """

    record_id: str
    patient_id: str
    path: str
    source: str = ""
    split: str = ""
    age: float | None = None
    sex: str = ""
    labels_json: str = "{}"
    report: str = ""
    array_row: int = -1
    leads: tuple[str, ...] = ()
    fs_hz: float = 0.0
    unit_mv: float = 1.0


def labels_text(labels: dict[str, Any]) -> str:
    """Return labels as JSON text on one line, empty entries left out."""
    kept = {key: value for key, value in labels.items() if value not in (None, "", [], {})}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True)
