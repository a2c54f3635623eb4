"""Writes the files of a manifest folder; ``meta.json`` comes last, so a folder with it is whole."""

import json
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from ecg_fairseq import __version__
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import atomic_write, sha256_of_file, sha256_of_json, write_json
from ecg_fairseq.records.labels.label_files import (
    FINITE_WEIGHTS_FILE,
    LABEL_FILES,
    LABEL_FOLDER,
    WEIGHTS_FILE,
    label_matrix,
    labels_without_weight,
    write_label_files,
)
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.manifest.content_check import RECORDS_FILE, RECORDS_KEY
from ecg_fairseq.records.manifest.folder import FORMAT, VERSION
from ecg_fairseq.records.manifest.splits import patients_per_side, split_hash
from ecg_fairseq.records.manifest.store import INT16_LIMIT, Shard, Store, scale_of
from ecg_fairseq.records.questions.question import Question, write_questions
from ecg_fairseq.records.record_row import COLUMNS, SPLITS, RecordRow, one_line
from ecg_fairseq.records.segments.pair_lists import (
    CMSC_FILES,
    CMSC_FOLDER,
    IDENTIFICATION_FILES,
    IDENTIFICATION_FOLDER,
    remove_files,
    write_pair_manifests,
)
from ecg_fairseq.signal.recipe import Recipe

SKIPPED_FILE = "skipped.tsv"


@dataclass
class ManifestContent:
    """Everything that goes into a manifest folder besides the store's files.

    Attributes:
        signal_hashes: record id -> SHA-256 of the raw signal.
        split_rule: name of the rule (``strat_fold``, ``patient``, ``ecg-qa``, ...).
        num_clipped: record id -> how many of its values were too large for ``dtype``.
        tokenizer: entry of the registered ECG tokenizer that goes on to serve, or None.
        label_set: columns of ``labels/y.npy``, or None for no label files.
        notes: further facts for ``meta.json`` (moves between splits, dropped questions, ...).
    """

    dataset: str
    recipe: Recipe
    dtype: str
    shards: Sequence[Shard]
    records: Sequence[RecordRow]
    questions: Mapping[str, Sequence[Question]]
    statistics: Mapping[str, Any]
    signal_hashes: Mapping[str, str]
    split_rule: str
    seed: int
    num_clipped: Mapping[str, int] = field(default_factory=dict)
    label_set: LabelSet | None = None
    tokenizer: dict[str, Any] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def write_manifest(folder: Path | str, content: ManifestContent) -> dict[str, Any]:
    """Write all files of a manifest whose store stands already; return ``meta.json``'s content.

    Raises:
        ManifestError: a patient stands in two splits, or question ids are not unique.
        EcgError: a file cannot be written.
    """
    folder = Path(folder)
    splits = patient_splits(content.records)
    _check_question_ids(content.questions)
    folder.mkdir(parents=True, exist_ok=True)
    store = _describe_store(content)
    write_records(folder / "records.tsv", content.records)
    write_skipped(folder / SKIPPED_FILE, content.records)
    reader = Store(folder, store, content.recipe.shape)
    for split in SPLITS:
        _write_segments(folder, split, content.records, reader, content.recipe.num_values)
        write_questions(folder / f"{split}.jsonl", content.questions.get(split, ()))
    _remove_earlier(folder)
    meta = _describe(folder, content, splits, store)
    meta |= _write_labels(folder, content.label_set, content.records)
    if pairs := write_pair_manifests(folder, content.records, reader, content.signal_hashes):
        meta["pairs"] = pairs
    write_json(folder / "meta.json", meta)
    return meta


def _describe_store(content: ManifestContent) -> dict[str, Any]:
    scale, unit = scale_of(content.dtype), content.recipe.unit
    store: dict[str, Any] = {"dtype": content.dtype, "scale_mv": scale, "unit": unit}
    if content.dtype == "int16":
        clipped = [number for number in content.num_clipped.values() if number]
        store |= {
            "largest_error": scale / 2,
            "clipped_records": len(clipped),
            "clipped_values": sum(clipped),
        }
        if clipped:
            print(
                f"{sum(clipped)} values of {len(clipped)} records are beyond "
                f"+-{INT16_LIMIT * scale:g} {unit} and were stored as that; --dtype float32 keeps "
                "them",
                file=sys.stderr,
            )
    return {**store, "shards": [shard.to_dict() for shard in content.shards]}


def _remove_earlier(folder: Path) -> None:
    """Delete what this preparation may not write again: another label set, or no pairs now."""
    remove_files(folder / LABEL_FOLDER, LABEL_FILES)
    remove_files(folder / CMSC_FOLDER, CMSC_FILES)
    remove_files(folder / IDENTIFICATION_FOLDER, IDENTIFICATION_FILES)


def _write_labels(
    folder: Path, label_set: LabelSet | None, records: Sequence[RecordRow]
) -> dict[str, Any]:
    """Write ``labels/`` and return its entry in ``meta.json``."""
    if label_set is None:
        return {}
    matrix = label_matrix(label_set, records)
    write_label_files(folder / LABEL_FOLDER, matrix)
    without = labels_without_weight(matrix)
    if without:
        shown = ", ".join(without[:8]) + (", ..." if len(without) > 8 else "")
        print(
            f"{len(without)} of {len(matrix.names)} labels are true of no training record, or of "
            f"all ({shown}); {WEIGHTS_FILE} holds inf or 0 for them, which the criterion refuses: "
            f"pass on {FINITE_WEIGHTS_FILE}, which gives them weight 1",
            file=sys.stderr,
        )
    labelled = {split: matrix.counts().get(split, 0) for split in SPLITS}
    return {"labels": {"set": label_set.name, "names": list(matrix.names), "labelled": labelled}}


def patient_splits(records: Iterable[RecordRow]) -> dict[str, str]:
    """Return patient id -> split over usable records; ManifestError if a patient has two."""
    splits: dict[str, str] = {}
    for row in records:
        if row.is_ok and row.split:
            other = splits.setdefault(row.patient_id, row.split)
            if other != row.split:
                raise ManifestError(
                    f"patient {row.patient_id} is on sides {other} and {row.split} "
                    f"(record {row.record_id}); a patient must stay on one side"
                )
    return splits


def write_records(path: Path, records: Iterable[RecordRow]) -> None:
    """Write ``records.tsv``."""
    with atomic_write(path) as stream:
        stream.write("\t".join(COLUMNS) + "\n")
        for row in records:
            stream.write(row.to_line() + "\n")


def write_skipped(path: Path, records: Iterable[RecordRow]) -> None:
    """Write ``skipped.tsv``: every record that cannot be used, with the reason."""
    with atomic_write(path) as stream:
        stream.write("record_id\treason\n")
        for row in records:
            if not row.is_ok:
                stream.write(f"{one_line(row.record_id)}\t{one_line(row.reason)}\n")


def _check_question_ids(questions: Mapping[str, Sequence[Question]]) -> None:
    seen: set[str] = set()
    for split, asked in questions.items():
        if split not in SPLITS:
            raise ManifestError(f"questions for side {split!r}; expected one of {SPLITS}")
        for question in asked:
            if question.id in seen:
                raise ManifestError(f"question id {question.id!r} occurs twice; ids are unique")
            seen.add(question.id)


def _write_segments(
    folder: Path, split: str, records: Iterable[RecordRow], store: Store, num_values: int
) -> None:
    chosen = [row for row in records if row.is_ok and row.split == split]
    chosen.sort(key=lambda row: row.first_row)
    with atomic_write(folder / f"{split}.tsv") as stream:
        stream.write(f"{folder.resolve()}\n")
        for row in chosen:
            for segment in range(row.num_segments):
                stream.write(f"{store.locator(row.first_row + segment)}\t{num_values}\n")


def _describe(
    folder: Path, content: ManifestContent, splits: dict[str, str], store: dict[str, Any]
) -> dict[str, Any]:
    usable = [row for row in content.records if row.is_ok]
    return {
        "format": FORMAT,
        "version": VERSION,
        "dataset": content.dataset,
        "recipe": content.recipe.describe(),
        "layout": content.recipe.layout(),
        "statistics": dict(content.statistics),
        "split": {
            "rule": content.split_rule,
            "seed": content.seed,
            "hash": split_hash(splits),
            "patients": patients_per_side(splits),
        },
        "counts": {
            "records": len(usable),
            "skipped": len(content.records) - len(usable),
            "segments": sum(row.num_segments for row in usable),
            "questions": {split: len(content.questions.get(split, ())) for split in SPLITS},
        },
        "store": store,
        RECORDS_KEY: sha256_of_file(folder / RECORDS_FILE),
        "data_sha256": sha256_of_json(
            {
                "signals": sorted(content.signal_hashes.items()),
                "questions": {s: sha256_of_file(folder / f"{s}.jsonl") for s in SPLITS},
            }
        ),
        "versions": {
            "ecg_fairseq": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "PyWavelets": metadata.version("PyWavelets"),
        },
        "tokenizer": content.tokenizer,
        **content.notes,
    }


def set_tokenizer(folder: Path | str, tokenizer: Path | str) -> str | None:
    """Enter a tokenizer file into ``meta.json``.

    The path is kept relative when the file lies in or next to the manifest folder.

    Returns:
        path of another tokenizer that was registered until now, as it stood there, or None.

    Raises:
        ManifestError: the manifest or the tokenizer file is missing.
    """
    from ecg_fairseq.records.manifest.folder import Manifest

    folder, tokenizer = Path(folder).resolve(), Path(tokenizer).resolve()
    meta = Manifest.load(folder).meta
    if not tokenizer.is_file():
        raise ManifestError(f"tokenizer file not found: {tokenizer}; train it first")
    near = folder.parent in tokenizer.parents
    path = tokenizer.relative_to(folder.parent) if near else tokenizer
    if near:
        inside = folder in tokenizer.parents
        path = tokenizer.relative_to(folder) if inside else Path("..") / path
    earlier = (meta.get("tokenizer") or {}).get("path")
    meta["tokenizer"] = {"path": str(path), "sha256": _tokens_sha256(tokenizer)}
    write_json(folder / "meta.json", meta)
    is_other = isinstance(earlier, str) and (folder / earlier).resolve() != tokenizer
    return earlier if is_other else None


def _tokens_sha256(path: Path) -> str:
    """Return the hash that a token file states of itself, or that of the file.

    Kinds whose weights lie in a file beside it state one; an ECG-BPE file is all there is.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        value = None
    stated = value.get("sha256") if isinstance(value, dict) else None
    return stated if isinstance(stated, str) else sha256_of_file(path)
