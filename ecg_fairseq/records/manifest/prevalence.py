"""How often each label occurs on each side of a manifest."""

import functools
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.labels.label_files import LABEL_FOLDER, read_label_files
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.record_row import COLUMNS, SPLITS

_LABELS = COLUMNS.index("labels")
_LONGEST = 80
_MOST_TEXTS = 10_000
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
        lines = np.flatnonzero(manifest.records.is_on(split))
        found: Counter[tuple[str, str]] = Counter()
        for text in manifest.records.cells(lines, _LABELS):
            found.update(set(_labels(json.loads(text))))
        for (kind, label), number in found.items():
            counts.setdefault(kind, {}).setdefault(label, Counter())[split] = number
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
        elif label := _label_of(kind, value):
            yield label


def _label_of(kind: str, value: Any) -> tuple[str, str] | None:
    """Return kind and label of what is neither list nor dict, or None when it is no label."""
    if isinstance(value, float) and value != 1.0:
        return None
    return _label_of_text(kind, str(value), isinstance(value, float))


@functools.lru_cache(_MOST_TEXTS)
def _label_of_text(kind: str, text: str, is_float: bool) -> tuple[str, str] | None:
    if text in ("1", "1.0", "true", "True", "yes"):
        return ("columns", kind)
    is_other = is_float or len(text) > _LONGEST or _DATE.match(text)
    return None if is_other or text in _ABSENT else (kind, _tidy(text))


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
    is_labelled = ~np.isnan(values).any(axis=1)
    table = manifest.records
    of_side = {
        split: values[is_labelled & (table.split_numbers == table.split_number(split))]
        for split in SPLITS
    }
    return {
        "set": str(stated.get("set", "")),
        "labelled": {split: len(found) for split, found in of_side.items()},
        "positives": {
            name: {split: int(found[:, column].sum()) for split, found in of_side.items()}
            for column, name in enumerate(names)
        },
    }
