"""What the floors know: reports of a manifest's training split, and embeddings of recordings."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.reports.floors import KnownReport
from ecg_fairseq.records.manifest.folder import Manifest


def training_reports(manifest: Manifest, question_types: Sequence[str]) -> list[KnownReport]:
    """Return the reports of the training split.

    Those that its questions of ``question_types`` ask for; where there is no such question, those
    that stand in the manifest's table of recordings.
    """
    asked = [
        KnownReport(question.record_ids[0], question.patient_ids[0], question.answer_text)
        for question in manifest.questions("train")
        if question.question_type in question_types
    ]
    return asked or [
        KnownReport(row.record_id, row.patient_id, row.report)
        for row in manifest.split_records("train")
        if row.is_ok and row.report.strip()
    ]


def read_embeddings(path: Path) -> dict[str, np.ndarray]:
    """Read what ``ecg-fairseq embed`` wrote: X.npy, and X.tsv beside it, a line for each row.

    Returns:
        record id -> float64 (D,), the mean over the recording's rows.

    Raises:
        ScoreError: a file is missing, damaged, or does not fit the other.
    """
    table = path.with_suffix(".tsv")
    try:
        values = np.load(path, allow_pickle=False)
        with open(table, encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, ValueError, csv.Error, EOFError) as cause:
        raise ScoreError(
            f"embeddings {path} with the table {table.name} cannot be read: {cause}; give X.npy of "
            "`ecg-fairseq embed`, with X.tsv beside it"
        ) from cause
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.floating):
        raise ScoreError(
            f"{path} holds {values.dtype} of shape {values.shape}; expected numbers of shape "
            "(rows, width), as `ecg-fairseq embed` writes them"
        )
    if len(lines) != len(values) or any(not line.get("record_id") for line in lines):
        raise ScoreError(
            f"{table} has {len(lines)} lines with record ids expected, {path.name} has "
            f"{len(values)} rows; both must come from one run of `ecg-fairseq embed`"
        )
    rows: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        rows.setdefault(line["record_id"], []).append(place)
    return {name: values[places].astype(np.float64).mean(0) for name, places in rows.items()}
