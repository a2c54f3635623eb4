"""Which labels of a dataset make a classification problem: the columns of its label matrix."""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.source_record import SourceRecord

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
        option: whose table of the user's own the labels are from (``--labels``); empty where the
            dataset publishes them.
    """

    name: str
    labels: tuple[str, ...]
    positives: Positives
    option: str = ""


def label_set_of_what_occurs(
    name: str, kinds: Sequence[str], sources: Iterable[SourceRecord]
) -> LabelSet | None:
    """Return a label set with a column for each label that a source has, in alphabetical order.

    For datasets that publish statements, not a list. None when no source has any.

    Args:
        name: of the set.
        kinds: keys of the labels that count, each with a text or a list of texts; columns are
            named ``kind: label`` when there are several kinds.
        sources: all records of the dataset, so that a part of it has the same columns.
    """
    seen: set[str] = set()
    for source in sources:
        seen.update(_names(tuple(kinds), json.loads(source.labels_json)))
    positives = partial(_positives, tuple(kinds))
    return LabelSet(name, tuple(sorted(seen)), positives) if seen else None


def _names(kinds: tuple[str, ...], labels: dict[str, Any]) -> set[str]:
    names = set()
    for kind in kinds:
        value = labels.get(kind, [])
        members = value if isinstance(value, list) else [value]
        names |= {f"{kind}: {member}" if len(kinds) > 1 else str(member) for member in members}
    return names


def _positives(kinds: tuple[str, ...], row: RecordRow) -> Collection[str] | None:
    return _names(kinds, row.labels) or None
