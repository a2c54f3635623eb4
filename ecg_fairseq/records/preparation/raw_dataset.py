"""What a dataset hands to the preparation: its records, their splits, labels and questions."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.labels.label_table import LabelTable, meant_column, read_label_table
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.readers.any_format import open_array, read_record
from ecg_fairseq.records.readers.code_15_hdf5 import is_hdf5, read_code15
from ecg_fairseq.records.record import EcgRecord, Origin, named_record
from ecg_fairseq.records.record_row import RecordRow
from ecg_fairseq.records.source_record import SourceRecord

Questions = dict[str, list[Question]]
# Called with the final rows (splits known) and the seed; returns questions per split and notes.
QuestionMaker = Callable[[Sequence[RecordRow], int], tuple[Questions, dict[str, Any]]]
STRADDLE_RULES = ("move", "drop")
# What `ecg-fairseq simulate` leaves in the folder that it writes.
SIMULATION_FILE = "simulation.json"
_SIMULATION_FORMAT = "ecg_fairseq.simulation"
_FOLDERS_ABOVE = 3
# Control characters, what splits lines in some reader, and what UTF-8 cannot hold.
_NOT_IN_IDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def is_simulated(raw_folder: Path) -> bool:
    """Return whether raw data are simulated: the simulator's file is there or a little above."""
    folder = raw_folder.resolve()
    for above in (folder, *folder.parents[:_FOLDERS_ABOVE]):
        try:
            found = json.loads((above / SIMULATION_FILE).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found.get("format") == _SIMULATION_FORMAT:
            return True
    return False


def no_questions(rows: Sequence[RecordRow], seed: int) -> tuple[Questions, dict[str, Any]]:
    """Return no questions: the dataset has none."""
    return {}, {}


@dataclass(frozen=True)
class RawDataset:
    """A dataset ready for preparation.

    Attributes:
        straddle: what happens to a record whose patient or twin is in an earlier split: ``move`` it
            there, or ``drop`` it (then the split keeps only what was published for it).
        label_set: columns of ``labels/y.npy``, or None for a dataset without such labels.
        id_columns: what the dataset's own tables call record ids (``study_id``), for label tables.
        left_out: (record id, patient id, reason) of records excluded before reading.
    """

    name: str
    sources: list[SourceRecord]
    split_rule: str
    straddle: str = "move"
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    make_questions: QuestionMaker = no_questions
    label_set: LabelSet | None = None
    id_columns: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse an empty dataset, bad or doubled ids and unknown rules with a ManifestError."""
        if not self.sources:
            raise ManifestError(f"{self.name}: no record is left to prepare; check the options")
        if self.straddle not in STRADDLE_RULES:
            raise ManifestError(f"straddle rule {self.straddle!r}; expected {STRADDLE_RULES}")
        for source in self.sources:
            self._check_ids(source.record_id, source.patient_id)
        for record_id, patient_id, _ in self.left_out:
            self._check_ids(record_id, patient_id)
        doubled = first_double(source.record_id for source in self.sources)
        if doubled is not None:
            raise ManifestError(
                f"{self.name}: record id {doubled!r} occurs twice; ids must be unique"
            )

    def _check_ids(self, record_id: str, patient_id: str) -> None:
        """Refuse ids that no table of records can hold on one line."""
        for what, value in (("record", record_id), ("patient", patient_id)):
            if found := _NOT_IN_IDS.search(value):
                raise ManifestError(
                    f"{self.name}: {what} id {value!r} holds the character {found[0]!r}; ids are "
                    "one line of text without tabs, line breaks, control characters and halves of "
                    "surrogate pairs: change it in the dataset's tables and files"
                )


class DatasetModule(Protocol):
    """What every public dataset offers to the command line; mostly a module of ``datasets/``.

    Its docstring is the text of ``--help``, ``RAW_HELP`` says what RAW_DIR is.
    """

    __doc__: str | None
    RAW_HELP: str

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options that only this dataset has."""

    def make_dataset(self, arguments: argparse.Namespace) -> RawDataset:
        """Return what the arguments ask for; ManifestError when that is not possible."""


def first_double(names: Iterable[str]) -> str | None:
    """Return the first name that occurs a second time, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def with_label_table(raw_dataset: RawDataset, path: Path) -> RawDataset:
    """Return the dataset with the labels of a table in place of its own.

    Recordings that the table does not list are unlabelled; they, and lines about no recording of
    the dataset, are counted in the notes.

    Raises:
        ManifestError: the table is missing or damaged, holds a column of other values than 0 and 1,
            names a recording twice, or names none of the dataset's.
    """
    sources, name = raw_dataset.sources, raw_dataset.name
    table = read_label_table(path, sources, raw_dataset.id_columns)
    if not table.positives:
        raise ManifestError(
            f"label table {path}: none of its {table.num_unmatched} lines is about a recording of "
            f"{name}; it says {table.unmatched!r}, the dataset has {sources[0].record_id!r}"
            if sources
            else f"label table {path}: {name} has no recording to label"
        )
    note = _label_table_notes(path, table, raw_dataset)

    def positives(row: RecordRow) -> Collection[str] | None:
        return table.positives.get(row.record_id)

    return replace(
        raw_dataset,
        label_set=LabelSet(path.stem, table.names, positives),
        notes={**raw_dataset.notes, "label_table": note},
    )


def _label_table_notes(path: Path, table: LabelTable, raw_dataset: RawDataset) -> dict[str, Any]:
    """Say on stderr what is odd about a label table, and return it for ``meta.json``."""
    name = raw_dataset.name
    num_absent = sum(source.record_id not in table.positives for source in raw_dataset.sources)
    note: dict[str, Any] = {
        "file": path.name,
        "records_not_listed": num_absent,
        "lines_of_no_record": table.num_unmatched,
    }
    said = [
        f"column {label} counts as a label; if it is {meant}, leave it out or call it that"
        for label in table.names
        if (meant := meant_column(label))
    ]
    if num_absent or table.num_unmatched:
        said.append(
            f"{num_absent} recordings of {name} are not in it and stay unlabelled; "
            f"{table.num_unmatched} of its lines are about other recordings"
        )
    if table.nearly:
        pairs = ", ".join(f"{text!r} and recording {meant!r}" for text, meant in table.nearly)
        said.append(f"some of these lines are nearly called as one: {pairs}; write each in one way")
    if table.unreadable:
        note["label_cells_not_0_1"] = table.unreadable
        counts = ", ".join(f"{label} ({count})" for label, count in table.unreadable.items())
        said.append(f"cells that are neither 0 nor 1 leave their records unlabelled: {counts}")
    for sentence in said:
        print(f"label table {path}: {sentence}", file=sys.stderr)
    return note


def load_source(source: SourceRecord) -> EcgRecord:
    """Read the signal of a source.

    Raises:
        RecordError: the file or the row cannot be used.
    """
    if source.array_row < 0:
        record = read_record(source.path, source.record_id, source.patient_id)
        if source.unit_mv == 1.0:
            return record
        return replace(record, signal=record.signal * np.float32(source.unit_mv))
    if is_hdf5(source.path):
        path = Path(source.path)
        return read_code15(path, source.array_row, source.record_id, source.patient_id)
    array = open_array(source.path)
    if array.ndim != 3 or source.array_row >= len(array):
        raise RecordError(
            f"{source.path} has shape {array.shape}; expected (N, L, T) with row {source.array_row}"
        )
    signal = np.array(array[source.array_row], dtype=np.float32) * np.float32(source.unit_mv)
    place = f"{Path(source.path).name}[{source.array_row}]"
    origin = Origin(source.record_id, source.patient_id, place)
    return named_record(signal, source.leads, source.fs_hz, origin)
