"""How often each label occurs on each side of a manifest."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.labels.label_files import LABEL_FOLDER, read_label_files
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.record_row import SPLITS

_LONGEST = 80
_DATE = re.compile(r"\d{4}-\d\d-\d\d\b")
_ABSENT = ("", "0", "0.0", "false", "False", "no")


def label_prevalence(manifest: Manifest) -> dict[str, dict[str, dict[str, int]]]:
    """Return label kind -> label -> side -> number of usable records.

    Lists and dicts count by member; ``1`` or ``yes`` in a column counts as the column's name.
    Texts are counted without stray spaces and commas (PTB-XL writes `` , I-AVR,  ``).
    Measurements (numbers with a fraction, as JSON has them), dates and free texts are no labels.
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
        elif _is_label(value):
            yield (kind, _tidy(str(value)))


def _is_label(value: Any) -> bool:
    text = str(value)
    is_other = isinstance(value, float) or len(text) > _LONGEST or _DATE.match(text)
    return not is_other and text not in _ABSENT


def _tidy(text: str) -> str:
    """Return a text without empty parts between commas, and with single spaces.

    >>> _tidy(" , I-III,AVL,  ")
    'I-III, AVL'
    """
    parts = [" ".join(part.split()) for part in text.split(",")]
    return ", ".join(part for part in parts if part) or text.strip()


def label_set_prevalence(manifest: Manifest) -> dict[str, Any] | None:
    """Return what ``labels/y.npy`` holds, by side; None for a manifest without label files.

    Returns:
        {set, labelled: side -> records with labels, positives: label -> side -> records}.

    Raises:
        ManifestError: the files are damaged or belong to another manifest.
    """
    folder = manifest.path / LABEL_FOLDER
    stated = manifest.meta.get("labels")
    if not isinstance(stated, dict) or not folder.is_dir():
        return None
    names, values = read_label_files(folder)
    if len(values) != len(manifest.records):
        raise ManifestError(
            f"{folder} has {len(values)} rows for the {len(manifest.records)} lines of "
            "records.tsv; make the manifest anew"
        )
    sides = np.array([row.split for row in manifest.records.values()])
    is_labelled = ~np.isnan(values).any(axis=1)
    of_side = {split: values[is_labelled & (sides == split)] for split in SPLITS}
    return {
        "set": str(stated.get("set", "")),
        "labelled": {split: len(found) for split, found in of_side.items()},
        "positives": {
            name: {split: int(found[:, column].sum()) for split, found in of_side.items()}
            for column, name in enumerate(names)
        },
    }
