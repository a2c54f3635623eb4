"""Which labels of a dataset make a classification problem: the columns of its label matrix."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from ecg_fairseq.records.record_row import RecordRow

# Returns the names that are true of a record, or None when nobody labelled it.
Positives = Callable[[RecordRow], Collection[str] | None]


@dataclass(frozen=True)
class LabelSet:
    """Columns of a label matrix, and how a record's line says which are true.

    Attributes:
        name: of the set (``superclass``, ``challenge_2021``, ...).
        labels: names of the K columns, in order.
        positives: names that are true of a record, or None for a record without labels. Names that
            are not among ``labels`` are ignored.
    """

    name: str
    labels: tuple[str, ...]
    positives: Positives
