"""Labels of a manifest from the written reports of its recordings (``--labels-from-reports``)."""

from collections.abc import Collection
from dataclasses import replace

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.reports.labeler import Labeler

_NAME = "reports"


def with_report_labels(raw_dataset: RawDataset, labeler: Labeler) -> RawDataset:
    """Return the dataset with what its reports say in place of its own labels.

    A column for each entity that some report makes likely, in alphabetical order. Recordings
    without a report are unlabelled; how many there are stands in the notes.

    Raises:
        ManifestError: no recording has a report, no report says anything that is known, or the
            labels that would be lost are from a table of the user's own.
    """
    own = raw_dataset.label_set
    if own is not None and own.option:
        raise ManifestError(
            f"--labels-from-reports would replace the labels of {own.option} "
            f"({', '.join(own.labels)[:200]}); leave out that option, or these columns of 0 and 1"
        )
    reports = [source.report for source in raw_dataset.sources if source.report.strip()]
    if not reports:
        raise ManifestError(
            f"--labels-from-reports: no recording of {raw_dataset.name} has a written report; "
            "leave it out"
        )
    names = sorted({name for text in reports for name in labeler.statements(text)})
    if not names:
        raise ManifestError(
            f"--labels-from-reports: the labeler's tables match none of the {len(reports)} reports "
            f"of {raw_dataset.name}; choose tables for their language with --labeler-tables"
        )

    def positives(row: RecordRow) -> Collection[str] | None:
        return labeler.statements(row.report) if row.report.strip() else None

    note = {
        "mode": labeler.mode,
        "records_without_report": len(raw_dataset.sources) - len(reports),
        "reports_without_label": sum(not labeler.statements(text) for text in reports),
    }
    return replace(
        raw_dataset,
        label_set=LabelSet(_NAME, tuple(names), positives),
        notes={**raw_dataset.notes, "labels_from_reports": note},
    )
