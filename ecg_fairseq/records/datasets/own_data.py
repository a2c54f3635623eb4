"""Your own recordings: one .npy array (N, L, T) or a folder of records, and CSV tables.

    ecg-fairseq prepare own_data ecgs.npy --fs 500 --labels labels.csv --questions qa.csv \\
        --out DIR --recipe ecg_byte

In a folder every recording of a known format is taken: WFDB (the PhysioNet challenge's .mat too),
fairseq-signals .mat, CODE-15% .hdf5, MUSE and CardioSoft XML, DICOM, and .npy or .csv arrays with a
.json sidecar. Labels table: one line a record. ``record_id`` names it (an array may do without:
line i is row i); ``patient_id``, ``split``, ``age``, ``sex`` and ``report`` are understood, other
columns are labels; those of 0 and 1 are the columns of labels/y.npy (a record with a cell that says
neither is unlabelled; a column with more than a tenth of such cells is kept as texts). Cells are
separated by commas, semicolons or tabs. Records of one patient
must share a ``patient_id``; otherwise each record counts as its own patient, and the manifest says
so. Questions table: ``record_id``, ``question``, ``answer`` (names separated by ``;``), and
optionally ``id``, ``question_type``, ``template_id``, ``options`` (separated by ``;``). Without a
``question_type``, questions with the options yes and no are single-verify, those of other options
single-choose (single-query where answers are several of the options), the others single-query;
verify and choose are scored against their options too. Where nothing applies the answer is
``none``, not an empty cell.
"""

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.records.datasets.options import add_split_option, choice_from
from ecg_fairseq.records.datasets.own_questions import own_question_maker
from ecg_fairseq.records.datasets.own_tables import (
    RESERVED,
    Table,
    age_of,
    label_columns,
    positives_of,
    read_table,
    says_nothing,
    table_notes,
)
from ecg_fairseq.records.datasets.record_names import RecordNames
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.manifest.splits import keep_fraction
from ecg_fairseq.records.preparation.raw_dataset import (
    QuestionMaker,
    RawDataset,
    no_questions,
)
from ecg_fairseq.records.readers.any_format import FORMATS, open_array, parse_leads
from ecg_fairseq.records.readers.folder_search import FoundRecord, FoundRecords, find_records
from ecg_fairseq.records.readers.wfdb_comments import parse_sex
from ecg_fairseq.records.readers.wfdb_header import LOWEST_FS_HZ, millivolts_per_unit
from ecg_fairseq.records.record_row import SPLITS, RecordRow
from ecg_fairseq.records.source_record import SourceRecord, labels_text

RAW_HELP = "a .npy array (N, L, T), or a folder of records"
SPLIT_RULES = ("patient", "column")


@dataclass(frozen=True)
class OwnData:
    """What the user has.

    Attributes:
        path: a ``.npy`` array (N, L, T), or a folder of records of any format (searched
            recursively).
        leads: comma-separated names of the array's leads; default the usual twelve.
        unit: physical unit of the array (mV, uV, V).
        split: ``patient`` (drawn, 80/10/10) or ``column`` (column ``split`` of the labels table).
    """

    path: Path
    leads: str | None = None
    fs_hz: float | None = None
    unit: str = "mV"
    labels: Path | None = None
    questions: Path | None = None
    split: str = "patient"
    fraction: float = 1.0
    seed: int = 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only this dataset has."""
    parser.add_argument("--leads", help="leads of the array, comma-separated (default: the twelve)")
    parser.add_argument("--fs", type=float, help="sampling rate of the array in Hz")
    parser.add_argument("--unit", default="mV", help="unit of the array: mV, uV or V (default mV)")
    parser.add_argument("--labels", type=Path, help="CSV: record_id, patient_id, labels ...")
    parser.add_argument("--questions", type=Path, help="CSV: record_id, question, answer ...")
    add_split_option(parser, SPLIT_RULES, "draw splits by patient, or read column split")


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    data = choice_from(OwnData, arguments, path=arguments.raw_dir, fs_hz=arguments.fs)
    return own_dataset(data)


def own_dataset(data: OwnData) -> RawDataset:
    """Return the user's recordings as a dataset.

    Raises:
        ManifestError: something is missing or does not fit together; the message says what.
    """
    table = read_table(data.labels) if data.labels else []
    notes = table_notes(data.labels, table) if data.labels else {}
    if data.path.is_file():
        sources = _array_sources(data, table)
        names = RecordNames([source.record_id for source in sources])
        left_out = []
    else:
        found = _find_records(data)
        names = RecordNames(found.records)
        sources = _folder_sources(data, table, found.records, names)
        left_out = _not_listed(data, sources, found.records)
        notes |= {"files_not_used": found.others} if found.others else {}
    sources = [item for item in sources if keep_fraction(item.patient_id, data.fraction, data.seed)]
    has_patients = bool(table) and "patient_id" in table[0]
    if not has_patients:
        print(
            "no column patient_id in --labels: each recording counts as its own patient, so those "
            "of one patient may end on different sides",
            file=sys.stderr,
        )
    maker: QuestionMaker = no_questions
    if data.questions:
        maker = own_question_maker(data.questions, read_table(data.questions), names)
    label_set, other_columns = own_label_set(table)
    notes |= {"label_columns_not_0_1": other_columns} if other_columns else {}
    return RawDataset(
        "own_data",
        sources,
        data.split,
        left_out=left_out,
        make_questions=maker,
        label_set=label_set,
        notes={
            "patients": "column patient_id" if has_patients else "each record its own patient",
            **notes,
        },
    )


def own_label_set(table: Table) -> tuple[LabelSet | None, list[str]]:
    """Return the columns of 0 and 1 as a label set, and the names of the columns that are others.

    What texts and numbers mean is not guessed; without a column of 0 and 1 there is no label set.
    """
    names, left_out = label_columns(table)

    def positives(row: RecordRow) -> Collection[str] | None:
        return positives_of(names, row.labels)

    return (LabelSet("own", names, positives, "--labels") if names else None), left_out


def _array_sources(data: OwnData, table: Table) -> list[SourceRecord]:
    try:
        array = open_array(data.path)
        leads = parse_leads(data.leads)
        unit_mv = millivolts_per_unit(data.unit)
    except RecordError as error:
        raise ManifestError(str(error)) from error
    if array.ndim != 3 or array.shape[1] != len(leads) or not len(array):
        raise ManifestError(
            f"{data.path} has shape {array.shape}; expected (records, leads, samples) with the "
            f"{len(leads)} leads {','.join(leads)} (name others with --leads I,II,V5)"
            + _axes_hint(array.shape, len(leads))
        )
    if not data.fs_hz or not LOWEST_FS_HZ <= data.fs_hz <= 1e6:
        raise ManifestError(f"--fs {data.fs_hz}; an array needs its sampling rate: --fs 500")
    if table and len(table) != len(array):
        raise ManifestError(
            f"{data.labels} has {len(table)} lines, {data.path} has {len(array)} records; line i "
            "must describe row i"
        )
    rows = table or [{} for _ in range(len(array))]
    return [
        _source(
            row,
            record_id=row.get("record_id") or str(index),
            data=data,
            path=data.path.resolve(),
            source=f"{data.path.name}[{index}]",
            array_row=index,
            leads=leads,
            fs_hz=float(data.fs_hz),
            unit_mv=unit_mv,
        )
        for index, row in enumerate(rows)
    ]


def _axes_hint(shape: tuple[int, ...], num_leads: int) -> str:
    """Say which axes seem to be meant, where that is plain."""
    if len(shape) == 3 and shape[2] == num_leads:
        return "; its last axis has as many entries as leads: store array.transpose(0, 2, 1)"
    if len(shape) == 2 and shape[0] == num_leads:
        return "; for one record store array[None]"
    return ""


def _find_records(data: OwnData) -> FoundRecords:
    if not data.path.is_dir():
        raise ManifestError(f"{data.path} not found; expected a .npy array or a folder of records")
    found = find_records(data.path)
    others = ", ".join(f"{count} {kind}" for kind, count in found.others.items())
    if not found.records:
        raise ManifestError(
            f"no recording below {data.path} (files: {others or 'none'}); expected {FORMATS}"
        )
    if others:
        print(f"files below {data.path} that are no recordings: {others}", file=sys.stderr)
    return found


def _folder_sources(
    data: OwnData, table: Table, records: Mapping[str, FoundRecord], names: RecordNames
) -> list[SourceRecord]:
    by_name = _match_table(table, names, data)
    return [
        _source(
            by_name[name] if by_name else {},
            record_id=name,
            data=data,
            path=record.path,
            source=name,
            array_row=record.row,
        )
        for name, record in records.items()
        if not by_name or name in by_name
    ]


def _not_listed(
    data: OwnData, sources: Sequence[SourceRecord], records: Collection[str]
) -> list[tuple[str, str, str]]:
    """Return (record id, patient id, reason) of the recordings that the labels table lacks."""
    listed = {source.record_id for source in sources}
    absent = [name for name in records if name not in listed]
    if absent:
        print(
            f"{len(absent)} of the {len(records)} recordings below {data.path} are not in "
            f"{data.labels} and are left out, such as {', '.join(absent[:3])}; skipped.tsv lists "
            "them",
            file=sys.stderr,
        )
    return [(name, f"record-{name}", "not listed in the labels table") for name in absent]


def _match_table(table: Table, names: RecordNames, data: OwnData) -> dict[str, dict[str, str]]:
    """Return record name -> line; a line may give the path below the folder or the file's stem."""
    if table and "record_id" not in table[0]:
        raise ManifestError(f"{data.labels} has no column record_id; it must name the records")
    matched: dict[str, dict[str, str]] = {}
    for row in table:
        name = names.find(row["record_id"])
        if name is None or name in matched:
            raise ManifestError(
                f"{data.labels}: record_id {row['record_id']!r} "
                + (
                    "occurs twice"
                    if name
                    else f"is not one record below {data.path}: {names.why_not(row['record_id'])}"
                )
            )
        matched[name] = row
    return matched


def _source(
    row: dict[str, str], data: OwnData, record_id: str, path: Path, **more: Any
) -> SourceRecord:
    split = row.get("split", "") if data.split == "column" else ""
    if data.split == "column" and split not in SPLITS:
        raise ManifestError(
            f"record {record_id}: column split holds {split!r}; expected one of "
            f"{', '.join(SPLITS)} (or leave --split patient to draw the sides)"
        )
    patient_id = row.get("patient_id", "")
    if says_nothing(patient_id):
        patient_id = f"record-{record_id}"
    return SourceRecord(
        record_id=record_id,
        patient_id=patient_id,
        path=str(path),
        split=split,
        age=age_of(row.get("age", ""), f"record {record_id}"),
        sex=parse_sex(row.get("sex", "")),
        labels_json=labels_text({key: row[key] for key in row if key not in RESERVED}),
        report=row.get("report", ""),
        **more,
    )
