"""A manifest folder: what is in it, read with checks. The writing side is manifest_writer.py.

``meta.json`` describes recipe, split and store; ``records.tsv`` lists every record, skipped ones
included; ``{split}.tsv`` lists segments as fairseq does; ``{split}.jsonl`` holds the questions.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.files import read_json
from ecg_fairseq.records.manifest.record_table import RecordTable
from ecg_fairseq.records.manifest.store import Store
from ecg_fairseq.records.questions.question_file import Questions, read_questions
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.signal.recipe import Recipe, Strip

FORMAT = "ecg_fairseq.manifest"
VERSION = 1


class Manifest:
    """A manifest folder, opened for reading. Segments are mapped, not loaded."""

    def __init__(self, path: Path, meta: dict[str, Any], records: RecordTable):
        """Use :meth:`load`."""
        self.path = path
        self.meta = meta
        self.records = records
        self.shape = tuple(int(size) for size in meta["layout"]["shape"])
        self.strips = tuple(Strip(**strip) for strip in meta["layout"]["strips"])
        self.store = Store(path, meta["store"], self.shape)
        self._questions: dict[str, Questions] = {}
        self._lines_asked: dict[str, np.ndarray] = {}

    @classmethod
    def load(cls, path: Path | str) -> "Manifest":
        """Open a manifest folder.

        Raises:
            ManifestError: it is missing, unfinished, damaged, or of another version.
        """
        path = Path(path)
        if not path.is_dir():
            raise ManifestError(
                f"manifest folder not found: {path}; make it with `ecg-fairseq prepare`"
            )
        meta = read_meta(path)
        records = RecordTable.shared(path / "records.tsv")
        try:
            manifest = cls(path, meta, records)
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestError(
                f"{path}/meta.json is incomplete ({error!r}); make the manifest anew"
            ) from error
        records.check_reach(len(manifest.store))
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
        """Yield the usable records of one side in file order, parsed one after another."""
        return (row for row in self.records.values() if row.split == split and row.is_ok)

    def questions(self, split: str) -> Questions:
        """Return the questions of one side; they are parsed when they are asked for.

        Raises:
            ManifestError: a line is damaged, or a question names a record that is absent, skipped
                or on another side.
        """
        questions = self.unchecked_questions(split)
        if split in self._lines_asked:
            return questions
        columns = questions.columns
        lines = self.records.lines_of(columns.record_ids)
        is_wrong = ~self.records.is_on(split, lines)
        known = np.flatnonzero(~is_wrong)
        patients = self.records.patient_ids
        is_wrong[known] = ~columns.patient_ids.are_equal(known, patients, lines[known])
        for place in np.flatnonzero(is_wrong)[:1]:
            asker = int(np.searchsorted(columns.first_records, place, side="right")) - 1
            row = self.record_row(columns.record_ids.text(place))
            raise ManifestError(
                f"{self.path}/{split}.jsonl line {questions.line_number(asker)}: question "
                f"{columns.ids.text(asker)} asks about record {row.record_id} of patient "
                f"{columns.patient_ids.text(place)}, which records.tsv lists as patient "
                f"{row.patient_id}, side {row.split or 'none'}, {row.status}; "
                "make the manifest anew"
            )
        self._lines_asked[split] = lines
        return questions

    def lines_asked_about(self, questions: Questions) -> np.ndarray:
        """Return the number of each recording in ``records.tsv`` that questions name.

        Args:
            questions: of this manifest.

        Returns:
            int64, question after question, as their ``columns.record_ids``; -1 for what is not
            there.
        """
        for split, lines in self._lines_asked.items():
            if questions is self._questions[split]:
                return lines
        return self.records.lines_of(questions.columns.record_ids)

    def unchecked_questions(self, split: str) -> Questions:
        """Return the questions of one side without comparing them with ``records.tsv``.

        They are read once: a manifest that is open does not follow its files' changes.

        Raises:
            ManifestError: a line is damaged.
        """
        if split not in self._questions:
            self._questions[split] = read_questions(self.path / f"{split}.jsonl")
        return self._questions[split]


def read_meta(path: Path) -> dict[str, Any]:
    """Return what ``meta.json`` of a manifest folder says.

    Raises:
        ManifestError: it is missing, damaged, or of another version.
    """
    meta = read_json(path / "meta.json", ManifestError, "manifest description")
    _check_meta(meta, path)
    return meta


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
