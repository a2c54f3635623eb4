"""UK Biobank's resting ECGs (field 20205): a folder of EID_20205_INSTANCE_ARRAY.xml.

    ecg-fairseq prepare uk_biobank XML_DIR --participants outcomes.csv --out DIR \\
        --recipe dual_attention --waveform median

The files are CardioSoft XML with the ten-second recording and the device's median beat, of which
either may be absent. Outcomes and labels come from the user's own table of participants: one line
an ``eid``; ``age``, ``sex``, ``report`` and ``split`` are understood, other columns are labels, and
those of 0 and 1 (``status``, ...) are the columns of labels/y.npy. The published survival tables
(fact sheet dual-attention 2) are of this form once written as CSV.
"""

import argparse
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.csv_table import number_of, read_columns, whole_number
from ecg_fairseq.records.datasets.options import add_split_option, choice_from
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.labels.label_table import truth_of
from ecg_fairseq.records.manifest.splits import keep_fraction
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.readers.cardiosoft_xml import WAVEFORMS
from ecg_fairseq.records.readers.wfdb_comments import parse_age, parse_sex
from ecg_fairseq.records.record_row import SPLITS, RecordRow
from ecg_fairseq.records.source_record import SourceRecord, labels_text

RAW_HELP = "folder of XML files, searched with all its subfolders"
SPLIT_RULES = ("patient", "column")
ID_COLUMN = "eid"
_NAME = re.compile(r"(\d{1,12})_20205_(\d{1,2})_(\d{1,2})\.xml", re.ASCII | re.IGNORECASE)
_RESERVED = (ID_COLUMN, "split", "age", "sex", "report")
# Field 31 of UK Biobank codes sex as a number, other tables write it out.
_SEXES = {"0": "female", "1": "male"}
Participants = dict[str, dict[str, str]]


@dataclass(frozen=True)
class UkBiobankChoice:
    """What to take of the folder.

    Attributes:
        waveform: ``rhythm`` (ten seconds) or ``median`` (the device's own median beat).
        instances: visits wanted (2 is the first imaging visit); empty for all.
        participants: CSV of outcomes and labels, see the module.
        must_be_listed: leave out ECGs of participants that the table does not list.
        split: ``patient`` (80/10/10, seeded) or ``column`` (column ``split`` of the table).
    """

    waveform: str = "rhythm"
    instances: tuple[int, ...] = ()
    participants: Path | None = None
    must_be_listed: bool = False
    split: str = "patient"
    fraction: float = 1.0
    seed: int = 0

    def check(self) -> None:
        """Refuse unknown or contradictory values with a ManifestError."""
        if self.waveform not in WAVEFORMS or self.split not in SPLIT_RULES:
            raise ManifestError(
                f"--waveform {self.waveform!r} --split {self.split!r}; expected one of "
                f"{tuple(WAVEFORMS)} and one of {SPLIT_RULES}"
            )
        if self.participants is None and (self.split == "column" or self.must_be_listed):
            raise ManifestError("--split column and --only-listed need --participants CSV")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only this dataset has."""
    parser.add_argument(
        "--waveform",
        choices=tuple(WAVEFORMS),
        default="rhythm",
        help="the recording of ten seconds, or the device's median beat",
    )
    parser.add_argument(
        "--instance",
        type=int,
        action="append",
        default=[],
        help="only this visit (2 is the first imaging visit); may be given several times",
    )
    parser.add_argument(
        "--participants", type=Path, metavar="CSV", help="outcomes and labels: eid, split, age ..."
    )
    parser.add_argument(
        "--only-listed", action="store_true", help="leave out ECGs of participants not in the table"
    )
    add_split_option(parser, SPLIT_RULES, "draw splits by patient, or read column split")


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    choice = choice_from(
        UkBiobankChoice,
        arguments,
        instances=tuple(arguments.instance),
        must_be_listed=arguments.only_listed,
    )
    return uk_biobank_dataset(arguments.raw_dir, choice)


def uk_biobank_dataset(folder: Path, choice: UkBiobankChoice) -> RawDataset:
    """Return the ECGs below a folder as a dataset, sorted by participant and visit.

    Raises:
        ManifestError: no ECG is there; the table is missing, damaged, or lists none of them.
    """
    choice.check()
    files = _files(folder, choice.instances)
    table = _participants(choice.participants) if choice.participants else {}
    if table and not any(eid in table for eid, *_ in files):
        raise ManifestError(
            f"{choice.participants} lists none of the participants in {folder} (it has eid "
            f"{next(iter(table))}, the folder {files[0][0]}); are both of one application?"
        )
    sources: list[SourceRecord] = []
    left_out: list[tuple[str, str, str]] = []
    for eid, instance, array, path in files:
        if not keep_fraction(eid, choice.fraction, choice.seed):
            continue
        cells = table.get(eid)
        if cells is None and (choice.must_be_listed or choice.split == "column"):
            name = f"{eid}_{instance}_{array}"
            left_out.append((name, eid, "the table does not list this participant"))
        else:
            sources.append(_source(eid, instance, array, path, cells or {}, choice, folder))
    names = _truth_columns(table)
    return RawDataset(
        "uk_biobank",
        sources,
        choice.split,
        label_set=_label_set(names) if names else None,
        left_out=left_out,
        notes={"waveform": choice.waveform, **_not_listed(sources, table)},
    )


def _not_listed(sources: list[SourceRecord], table: Participants) -> dict[str, int]:
    count = sum(source.patient_id not in table for source in sources) if table else 0
    return {"records_of_participants_not_listed": count} if count else {}


def _files(folder: Path, instances: tuple[int, ...]) -> list[tuple[str, int, int, Path]]:
    """Return (eid, instance, array, file) of all ECGs below a folder, sorted."""
    if not folder.is_dir():
        raise ManifestError(f"UK Biobank folder not found: {folder}; check the path")
    found: dict[tuple[int, int, int], Path] = {}
    others = 0
    for path in _xml_files(folder):
        match = _NAME.fullmatch(path.name)
        if match is None:
            others += 1
            continue
        key = (int(match[1]), int(match[2]), int(match[3]))
        if instances and key[1] not in instances:
            others += 1
        elif found.setdefault(key, path) != path:
            raise ManifestError(f"{path} and {found[key]} have one name; keep one of them")
    if not found:
        wanted = f" of instance {', '.join(map(str, instances))}" if instances else ""
        raise ManifestError(
            f"no EID_20205_INSTANCE_ARRAY.xml{wanted} below {folder} ({others} other XML files); "
            "unpack the archives of field 20205 there"
        )
    return [(str(key[0]), key[1], key[2], found[key]) for key in sorted(found)]


def _xml_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names) if name.lower().endswith(".xml"))


def _participants(path: Path) -> Participants:
    table: Participants = {}
    for number, row in enumerate(read_columns(path, (ID_COLUMN,), "table of participants"), 2):
        eid = whole_number(row[ID_COLUMN])
        if not eid or eid in table:
            raise ManifestError(
                f"{path} line {number}: eid {row[ID_COLUMN]!r} is "
                + ("listed twice; keep one line a participant" if eid else "empty; remove the line")
            )
        table[eid] = row
    if not table:
        raise ManifestError(f"{path} has no lines below its header")
    return table


def _source(
    eid: str,
    instance: int,
    array: int,
    path: Path,
    cells: dict[str, str],
    choice: UkBiobankChoice,
    folder: Path,
) -> SourceRecord:
    record_id = f"{eid}_{instance}_{array}"
    split = cells.get("split", "").strip() if choice.split == "column" else ""
    if choice.split == "column" and split not in SPLITS:
        raise ManifestError(
            f"participant {eid}: column split holds {split!r}; expected one of {', '.join(SPLITS)}"
        )
    labels = {name: _value(cell) for name, cell in cells.items() if name not in _RESERVED}
    sex = cells.get("sex", "").strip()
    return SourceRecord(
        record_id=record_id,
        patient_id=eid,
        path=str(path.resolve()) + (":median" if choice.waveform == "median" else ""),
        source=str(path.relative_to(folder)),
        split=split,
        age=parse_age(cells.get("age") or ""),
        sex=_SEXES.get(whole_number(sex)) or parse_sex(sex),
        labels_json=labels_text({**labels, "instance": instance}),
        report=cells.get("report", ""),
    )


def _value(cell: str) -> bool | float | str:
    """Return what a cell means: yes or no, a number, or its text."""
    truth, number = truth_of(cell), number_of(cell)
    if truth is not None and number is None:
        return truth
    return cell.strip() if number is None else number


def _truth_columns(table: Participants) -> tuple[str, ...]:
    """Return the columns that hold nothing but 0 and 1 (or empty cells), in the table's order."""
    columns: dict[str, bool] = {}
    for row in table.values():
        for name, cell in row.items():
            if name in _RESERVED or not name or columns.get(name) is False:
                continue
            truth = truth_of(cell)
            if truth is None and cell.strip():
                columns[name] = False
            elif truth is not None:
                columns[name] = True
    return tuple(name for name in next(iter(table.values()), {}) if columns.get(name))


def _label_set(names: tuple[str, ...]) -> LabelSet:
    def positives(row: RecordRow) -> Collection[str] | None:
        labels = row.labels
        # A participant with an empty cell is not labelled as a whole: y.npy has no half rows.
        if any(name not in labels for name in names):
            return None
        return {name for name in names if labels[name]}

    return LabelSet("participants", names, positives, "--participants")
