"""A label set of whatever labels occur: for datasets that publish statements, not a list."""

import json
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any

from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.source_record import SourceRecord


def seen_label_set(
    name: str, kinds: Sequence[str], sources: Iterable[SourceRecord]
) -> LabelSet | None:
    """Return a label set with a column for each label that a source has, in alphabetical order.

    None when no source has any.

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
