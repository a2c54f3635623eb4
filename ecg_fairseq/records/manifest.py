"""A manifest folder: what is in it, read with checks. The writing side is manifest_writer.py.

``meta.json`` describes recipe, split and store; ``records.tsv`` lists every record, skipped ones
included; ``{split}.tsv`` lists segments as fairseq does; ``{split}.jsonl`` holds the questions.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import read_json
from ecg_fairseq.records.question import Question, read_questions
from ecg_fairseq.records.store import Store
from ecg_fairseq.signal.recipe import Recipe, Strip

FORMAT = "ecg_fairseq.manifest"
VERSION = 1
SPLITS = ("train", "valid", "test")
COLUMNS = (
    "record_id",
    "patient_id",
    "split",
    "age",
    "sex",
    "fs_hz",
    "labels",
    "report",
    "source",
    "status",
    "reason",
    "first_row",
    "num_segments",
)


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One line of ``records.tsv``.

    Attributes:
        split: ``train``, ``valid``, ``test``, or empty for a record that is on no side.
        age: years, or None when unknown.
        sex: ``female``, ``male`` or empty.
        labels_json: the labels as JSON text; see :attr:`labels`.
        status: ``ok`` or ``skipped`` (then ``reason`` says why).
        first_row: first row in the store; its segments follow each other.
    """

    record_id: str
    patient_id: str
    split: str = ""
    age: float | None = None
    sex: str = ""
    fs_hz: float = 0.0
    labels_json: str = "{}"
    report: str = ""
    source: str = ""
    status: str = "ok"
    reason: str = ""
    first_row: int = -1
    num_segments: int = 0

    @property
    def labels(self) -> dict[str, Any]:
        """Labels, as the dataset gives them (``scp_codes``, ``superclass``, ...)."""
        return json.loads(self.labels_json)

    @property
    def is_ok(self) -> bool:
        """Whether the record can be used."""
        return self.status == "ok"

    def to_line(self) -> str:
        """Return the tab-separated line; tabs and line breaks in text become spaces."""
        values = (
            self.record_id,
            self.patient_id,
            self.split,
            "" if self.age is None else f"{self.age:g}",
            self.sex,
            f"{self.fs_hz:g}",
            self.labels_json,
            self.report,
            self.source,
            self.status,
            self.reason,
            str(self.first_row),
            str(self.num_segments),
        )
        return "\t".join(one_line(value) for value in values)

    @classmethod
    def from_line(cls, line: str, where: str) -> "RecordRow":
        """Parse a line; ManifestError starts with ``where``."""
        cells = line.rstrip("\n").split("\t")
        if len(cells) != len(COLUMNS):
            raise ManifestError(f"{where}: {len(cells)} columns, expected {len(COLUMNS)}")
        try:
            return cls(
                record_id=cells[0],
                patient_id=cells[1],
                split=cells[2],
                age=float(cells[3]) if cells[3] else None,
                sex=cells[4],
                fs_hz=float(cells[5]),
                labels_json=cells[6],
                report=cells[7],
                source=cells[8],
                status=cells[9],
                reason=cells[10],
                first_row=int(cells[11]),
                num_segments=int(cells[12]),
            )
        except ValueError as error:
            raise ManifestError(f"{where}: {error}; make the manifest anew") from error


def one_line(text: str) -> str:
    """Return ``text`` with tabs and line breaks replaced by spaces."""
    if text.isprintable():
        return text
    for character in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029":
        text = text.replace(character, " ")
    return text


class Manifest:
    """A manifest folder, opened for reading. Segments are mapped, not loaded."""

    def __init__(self, path: Path, meta: dict[str, Any], records: dict[str, RecordRow]):
        """Use :meth:`load`."""
        self.path = path
        self.meta = meta
        self.records = records
        self.shape = tuple(int(size) for size in meta["layout"]["shape"])
        self.strips = tuple(Strip(**strip) for strip in meta["layout"]["strips"])
        self.store = Store(path, meta["store"], self.shape)

    @classmethod
    def load(cls, path: Path | str) -> "Manifest":
        """Open a manifest folder.

        Raises:
            ManifestError: it is missing, unfinished, damaged, or of another version.
        """
        path = Path(path)
        if not path.is_dir():
            raise ManifestError(
                f"manifest folder not found: {path}; make it with a script of manifests/"
            )
        meta = read_json(path / "meta.json", ManifestError, "manifest description")
        _check_meta(meta, path)
        try:
            manifest = cls(path, meta, _read_records(path / "records.tsv"))
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestError(
                f"{path}/meta.json is incomplete ({error!r}); make the manifest anew"
            ) from error
        manifest._check_rows()
        return manifest

    @property
    def split_hash(self) -> str:
        """Hash of the patients' sides; tokenizer and checkpoint carry the same."""
        return str(self.meta["split"]["hash"])

    def recipe(self) -> Recipe:
        """Return the recipe the manifest was made with.

        Raises:
            RecipeError: this installation's recipe of that name has other constants.
        """
        from ecg_fairseq.signal.recipes import recipe_from_description

        return recipe_from_description(self.meta["recipe"], str(self.path))

    def record_row(self, record_id: str) -> RecordRow:
        """Return a record's line; ManifestError if there is none."""
        try:
            return self.records[record_id]
        except KeyError:
            raise ManifestError(
                f"{self.path}: record {record_id!r} is not in records.tsv "
                f"({len(self.records)} records)"
            ) from None

    def segment(self, record_id: str, k: int = 0) -> np.ndarray:
        """Return segment ``k`` of a record as float32 mV of shape ``shape``."""
        row = self.record_row(record_id)
        if not row.is_ok:
            raise ManifestError(
                f"{self.path}: record {record_id} was skipped ({row.reason}); it has no segments"
            )
        if not 0 <= k < row.num_segments:
            raise ManifestError(
                f"{self.path}: segment {k} of record {record_id}, which has {row.num_segments}"
            )
        return self.store.read(row.first_row + k)

    def split_records(self, split: str) -> Iterator[RecordRow]:
        """Yield the usable records of one side in file order."""
        return (row for row in self.records.values() if row.split == split and row.is_ok)

    def questions(self, split: str) -> list[Question]:
        """Return the questions of one side.

        Raises:
            ManifestError: a question names a record that is absent, skipped or on another side.
        """
        questions = read_questions(self.path / f"{split}.jsonl")
        for question in questions:
            for record_id, patient_id in zip(
                question.record_ids, question.patient_ids, strict=True
            ):
                row = self.record_row(record_id)
                if not row.is_ok or row.split != split or row.patient_id != patient_id:
                    raise ManifestError(
                        f"{self.path}/{split}.jsonl: question {question.id} asks about record "
                        f"{record_id} of patient {patient_id}, which records.tsv lists as patient "
                        f"{row.patient_id}, side {row.split or 'none'}, {row.status}; "
                        "make the manifest anew"
                    )
        return questions

    def _check_rows(self) -> None:
        end = 0
        for row in self.records.values():
            if row.is_ok:
                end = max(end, row.first_row + row.num_segments)
        if end > len(self.store):
            raise ManifestError(
                f"{self.path}: records.tsv reaches to row {end}, the store has {len(self.store)}; "
                "make the manifest anew"
            )


def _check_meta(meta: Any, path: Path) -> None:
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise ManifestError(f"{path}/meta.json does not describe a manifest of ecg_fairseq")
    if meta.get("version") != VERSION:
        raise ManifestError(
            f"{path}/meta.json has version {meta.get('version')!r}, this program reads {VERSION}; "
            "make the manifest anew"
        )
    for key in ("recipe", "layout", "split", "store", "statistics"):
        if not isinstance(meta.get(key), dict):
            raise ManifestError(f"{path}/meta.json has no {key!r}; make the manifest anew")
    if "hash" not in meta["split"]:
        raise ManifestError(f"{path}/meta.json has no split hash; make the manifest anew")


def _read_records(path: Path) -> dict[str, RecordRow]:
    records: dict[str, RecordRow] = {}
    try:
        with open(path, encoding="utf-8", newline="\n") as stream:
            header = next(stream, "").rstrip("\n").split("\t")
            if tuple(header) != COLUMNS:
                raise ManifestError(f"{path} starts with columns {header}; make the manifest anew")
            for number, line in enumerate(stream, 2):
                row = RecordRow.from_line(line, f"{path} line {number}")
                if row.record_id in records:
                    raise ManifestError(f"{path} line {number}: {row.record_id} occurs twice")
                records[row.record_id] = row
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}; make the manifest anew") from error
    return records
