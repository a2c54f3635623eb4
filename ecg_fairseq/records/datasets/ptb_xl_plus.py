"""PTB-XL+: median beats of PTB-XL's recordings, with its labels, folds and reports.

    ecg-fairseq prepare ptb_xl_plus RAW_DIR --ptb-xl DIR --out DIR --recipe dual_attention

``median_beats/{12sl,unig}/NNNNN/NNNNN_medians`` are WFDB records of 1.2 s; the two makers pad ids
differently, miss different recordings, and their headers say mV where the values are uV, which is
noticed by their height and put right. Measured features go into the labels: those of the whole
heart, or with --features all every lead's; ``features/*.csv`` may hold ``ecg_id`` in any column,
its lines are in no order. Strodthoff et al., PTB-XL+, Scientific Data 10, 279 (2023).
"""

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.records.datasets.csv_table import number_of, read_columns, whole_number
from ecg_fairseq.records.datasets.options import add_split_option, choice_from
from ecg_fairseq.records.datasets.ptb_xl import SPLIT_RULES, ptb_xl_dataset
from ecg_fairseq.records.datasets.ptb_xl_labels import add_label_set_option, ptb_xl_label_set
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.readers.amplitude_check import PLAUSIBLE_MV, signal_height
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.source_record import SourceRecord, labels_text

RAW_HELP = "PTB-XL+'s folder (holds median_beats and features)"
MAKERS = ("12sl", "unig")
FEATURE_TABLES = ("12sl", "unig", "ecgdeli")
FEATURE_CHOICES = ("global", "all", "none")
UNITS = {"auto": 0.0, "mV": 1.0, "uV": 1e-3}
ID_COLUMN = "ecg_id"
_GLOBAL_ENDING = "_Global"
_BEAT_NAME = re.compile(r"0*(\d+)_medians\.hea", re.ASCII)
_BEATS_TO_TRY = 24
Labels = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class PtbXlPlusChoice:
    """What to take of PTB-XL+.

    Attributes:
        beats: whose median beats: ``12sl`` (GE) or ``unig`` (Glasgow).
        unit: ``mV`` as the headers say, ``uV``, or ``auto``: told by the beats' height.
        features: ``global`` (columns that are not of one lead), ``all`` or ``none``.
        feature_table: whose features; default as ``beats``.
        split: as for PTB-XL.
    """

    beats: str = "12sl"
    unit: str = "auto"
    features: str = "global"
    feature_table: str = ""
    split: str = "strat_fold"
    fraction: float = 1.0
    seed: int = 0

    def check(self) -> None:
        """Refuse unknown values with a ManifestError."""
        known = {
            "--beats": (self.beats, MAKERS),
            "--unit": (self.unit, tuple(UNITS)),
            "--features": (self.features, FEATURE_CHOICES),
            "--feature-table": (self.feature_table or self.beats, FEATURE_TABLES),
        }
        for option, (value, choices) in known.items():
            if value not in choices:
                raise ManifestError(f"{option} {value!r}; expected one of {', '.join(choices)}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only this dataset has."""
    parser.add_argument("--ptb-xl", type=Path, required=True, help="PTB-XL's folder")
    add_split_option(parser, SPLIT_RULES)
    parser.add_argument("--beats", choices=MAKERS, default="12sl", help="whose median beats")
    parser.add_argument(
        "--unit",
        choices=tuple(UNITS),
        default="auto",
        help="of the stored beats (default: by height)",
    )
    parser.add_argument("--features", choices=FEATURE_CHOICES, default="global", help="as labels")
    parser.add_argument(
        "--feature-table", choices=FEATURE_TABLES, default="", help="default: as --beats"
    )
    add_label_set_option(parser, default="superclass")


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    choice = choice_from(PtbXlPlusChoice, arguments)
    label_set = ptb_xl_label_set(arguments.ptb_xl, arguments.label_set)
    return ptb_xl_plus_dataset(arguments.raw_dir, arguments.ptb_xl, choice, label_set)


def ptb_xl_plus_dataset(
    folder: Path, ptb_xl: Path, choice: PtbXlPlusChoice, label_set: LabelSet | None = None
) -> RawDataset:
    """Return the median beats of PTB-XL's recordings as a dataset; those without one are left out.

    Args:
        folder: PTB-XL+'s folder (holds ``median_beats`` and ``features``).
        ptb_xl: PTB-XL's folder, for patients, folds, statements and reports.
        choice: whose beats and which features.
        label_set: see :mod:`ecg_fairseq.records.datasets.ptb_xl_labels`.

    Raises:
        ManifestError: a folder or table is missing or damaged, or no beat is of PTB-XL's.
    """
    choice.check()
    beats = _beats(folder, choice.beats)
    raw_dataset = ptb_xl_dataset(
        ptb_xl, 500, choice.split, choice.fraction, choice.seed, label_set=label_set
    )
    kept = [source for source in raw_dataset.sources if source.record_id in beats]
    if not kept:
        raise ManifestError(
            f"none of the {len(beats)} median beats in {folder} is of a recording in {ptb_xl}"
        )
    unit_mv, height = _unit(kept, beats, choice.unit)
    added = _features(folder, choice, {source.record_id for source in kept})
    sources = [
        _with_beat(source, beats[source.record_id], unit_mv, folder, added) for source in kept
    ]
    missing = [
        (source.record_id, source.patient_id, f"{choice.beats} gives no median beat of it")
        for source in raw_dataset.sources
        if source.record_id not in beats
    ]
    unit = "uV" if unit_mv == UNITS["uV"] else "mV"
    return replace(
        raw_dataset,
        name="ptb_xl_plus",
        sources=sources,
        left_out=missing,
        notes={"beats": choice.beats, "stored_unit": unit, "height_as_stored": height},
    )


def _beats(folder: Path, maker: str) -> dict[str, Path]:
    """Return ecg_id -> header of its median beat."""
    root = folder / "median_beats" / maker
    if not root.is_dir():
        raise ManifestError(
            f"{root} not found; expected PTB-XL+'s folder, which holds median_beats/12sl and "
            "median_beats/unig"
        )
    found: dict[str, Path] = {}
    for path in sorted(root.glob("*/*_medians.hea")):
        name = _BEAT_NAME.fullmatch(path.name)
        if name is not None and found.setdefault(name[1], path) != path:
            raise ManifestError(f"{path} and {found[name[1]]} are of one recording; keep one")
    if not found:
        raise ManifestError(f"{root} holds no NNNNN/NNNNN_medians.hea; download it again")
    return found


def _unit(
    sources: Sequence[SourceRecord], beats: Mapping[str, Path], unit: str
) -> tuple[float, float]:
    """Return (mV that a stored 1 is, typical height as stored); an odd unit is told on stderr."""
    heights = []
    for index in np.linspace(0, len(sources) - 1, min(len(sources), _BEATS_TO_TRY)):
        try:
            record = read_record(beats[sources[int(index)].record_id])
        except RecordError:
            continue  # the preparation reads it again and reports why
        if np.isfinite(record.signal).any():
            heights.append(signal_height(record.signal, record.fs_hz))
    height = round(float(np.median(heights)), 4) if heights else 0.0
    if unit != "auto":
        return UNITS[unit], height
    low, high = PLAUSIBLE_MV
    if height <= high or not low <= height * UNITS["uV"] <= high:
        return UNITS["mV"], height
    print(
        f"the median beats are {height:g} mV high by their headers; they are taken as uV, as "
        "PTB-XL+ 1.0.1 stores them (--unit mV takes the headers' word)",
        file=sys.stderr,
    )
    return UNITS["uV"], height


def _with_beat(
    source: SourceRecord, header: Path, unit_mv: float, folder: Path, added: Labels
) -> SourceRecord:
    labels = {**json.loads(source.labels_json), **added.get(source.record_id, {})}
    return replace(
        source,
        path=str(header.resolve().with_suffix("")),
        source=str(header.relative_to(folder).with_suffix("")),
        labels_json=labels_text(labels),
        unit_mv=unit_mv,
    )


def _features(folder: Path, choice: PtbXlPlusChoice, wanted: set[str]) -> Labels:
    """Return ecg_id -> what the tables add to its labels; tables that are absent add nothing."""
    added: Labels = {}
    maker = choice.feature_table or choice.beats
    path = folder / "features" / f"{maker}_features.csv"
    if choice.features != "none" and path.is_file():
        for row in _lines(path, wanted):
            numbers = _numbers(row, choice.features == "all")
            added.setdefault(row[ID_COLUMN], {})[f"features_{maker}"] = numbers
    path = folder / "labels" / "12sl_statements.csv"
    if path.is_file():
        for row in _lines(path, wanted, "statements"):
            texts = _listed(row["statements"], f"{path} record {row[ID_COLUMN]}")
            added.setdefault(row[ID_COLUMN], {})["statements_12sl"] = texts
    return added


def _lines(path: Path, wanted: set[str], *columns: str) -> Iterable[dict[str, str]]:
    for row in read_columns(path, (ID_COLUMN, *columns), "table of PTB-XL+"):
        row[ID_COLUMN] = whole_number(row[ID_COLUMN])
        if row[ID_COLUMN] in wanted:
            yield row


def _numbers(row: Mapping[str, str], has_leads: bool) -> dict[str, float]:
    numbers = {
        name: number_of(cell)
        for name, cell in row.items()
        if name and name != ID_COLUMN and (has_leads or name.endswith(_GLOBAL_ENDING))
    }
    return {name: number for name, number in numbers.items() if number is not None}


def _listed(text: str, where: str) -> list[str]:
    try:
        value = ast.literal_eval(text or "[]")
        return [str(name) for name in value]
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ManifestError(f"{where}: statements {text[:80]!r} is not a list") from error
