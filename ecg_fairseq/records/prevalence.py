"""How often each label occurs on each side of a manifest."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ecg_fairseq.records.manifest import SPLITS, Manifest

_ABSENT = ("", "0", "0.0", "false", "False", "no")


def label_prevalence(manifest: Manifest) -> dict[str, dict[str, dict[str, int]]]:
    """Return label kind -> label -> side -> number of usable records.

    Lists and dicts count by member; ``1`` or ``yes`` in a column counts as the column's name.
    """
    counts: dict[str, dict[str, Counter]] = {}
    for split in SPLITS:
        for row in manifest.split_records(split):
            for kind, label in set(_labels(row.labels)):
                counts.setdefault(kind, {}).setdefault(label, Counter())[split] += 1
    return {
        kind: {
            label: {split: found[split] for split in SPLITS}
            for label, found in sorted(labels.items(), key=lambda item: (-item[1].total(), item[0]))
        }
        for kind, labels in sorted(counts.items())
    }


def _labels(labels: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, value in labels.items():
        if isinstance(value, list | dict):
            yield from ((kind, str(member)) for member in value)
        elif str(value) in ("1", "1.0", "true", "True", "yes"):
            yield ("columns", kind)
        elif str(value) not in _ABSENT:
            yield (kind, str(value))
