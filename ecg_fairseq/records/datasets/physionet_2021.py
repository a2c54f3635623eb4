"""PhysioNet/CinC Challenge 2021: eight sources of 12-lead ECGs with SNOMED CT labels.

    ecg-fairseq prepare physionet_2021 RAW_DIR --out DIR --recipe ecg_fm --sources recommended

The challenge has no folds and no patient ids: splits are drawn, each record a patient of its own.
fairseq-signals recommends its sources without ptb and st_petersburg_incart (few patients with
several records each): --sources recommended. Reyna et al., CinC 2021; fact sheet ecg-fm 1.4.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.progress import track
from ecg_fairseq.records.datasets.header_layout import HeaderLayout
from ecg_fairseq.records.datasets.options import add_split_option, choice_from
from ecg_fairseq.records.datasets.physionet_2021_files import (
    SOURCE_GROUPS,
    SOURCES,
    find_records,
    parse_sources,
)
from ecg_fairseq.records.datasets.ptb_xl_files import read_ptb_xl
from ecg_fairseq.records.labels.snomed_codes import LABEL_SETS, snomed_label_set
from ecg_fairseq.records.manifest.splits import Member, keep_fraction, split_by_patient
from ecg_fairseq.records.preparation.raw_dataset import RawDataset, load_source
from ecg_fairseq.records.readers.amplitude_check import amplitude_notes
from ecg_fairseq.records.source_record import SourceRecord

RAW_HELP = "the challenge's folder, or its training/"
_LABEL_SET = "challenge_2021"
_PATIENTS = (
    "each record its own patient: the challenge publishes no patient ids (one record a patient in "
    "chapman_shaoxing and ningbo; ptb and st_petersburg_incart hold several, and so does ptb-xl "
    "unless --ptb-xl names PTB-XL's folder)"
)


@dataclass(frozen=True)
class ChallengeChoice:
    """What to take of the challenge.

    Attributes:
        dataset: name for the manifest.
        sources: names out of ``SOURCES``.
        label_set: see :func:`ecg_fairseq.records.labels.snomed_codes.snomed_label_set`.
        ptb_xl: PTB-XL's own folder, which knows patients and folds of the HR records.
        drops_flat_leads: leave out records with a constant lead, as fairseq-signals recommends;
            every signal is read for it once more.
        fraction: share of the patients to keep.
    """

    dataset: str = "physionet_2021"
    sources: tuple[str, ...] = SOURCES
    label_set: str = _LABEL_SET
    ptb_xl: Path | None = None
    drops_flat_leads: bool = False
    fraction: float = 1.0
    seed: int = 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the whole challenge."""
    add_challenge_options(parser)
    parser.add_argument(
        "--sources",
        default="all",
        help=f"comma-separated: {', '.join(SOURCES)}; or {', '.join(SOURCE_GROUPS)} (default all)",
    )
    parser.add_argument(
        "--ptb-xl",
        type=Path,
        help="PTB-XL's own folder: HR records get its patients and published folds, so that "
        "nothing is trained on that PTB-XL tests on",
    )


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    sources = parse_sources(arguments.sources)
    choice = challenge_choice(arguments, "physionet_2021", sources, arguments.ptb_xl)
    return challenge_dataset(arguments.raw_dir, choice)


def challenge_dataset(folder: Path, choice: ChallengeChoice) -> RawDataset:
    """Return the records of one or several sources as a dataset.

    Args:
        folder: the challenge's folder, its ``training/``, or the folder of one source.

    Raises:
        ManifestError: the folder is missing, holds none of the sources, or is of another one.
    """
    found = find_records(folder, choice.sources)
    label_set = snomed_label_set(choice.label_set, _codes_seen(found.records))
    notes: dict[str, Any] = {
        "patients": _PATIENTS,
        "records_per_source": _count(item.source.partition("/")[0] for item in found.records),
        "amplitudes": amplitude_notes(found.by_gain),
    }
    records, split_rule = found.records, "patient"
    if choice.ptb_xl:
        records = _with_ptb_xl(records, choice.ptb_xl, choice.seed)
        split_rule = "patient; ptb-xl by strat_fold"
        notes["patients"] = "ptb-xl: PTB-XL's; other records: " + _PATIENTS.partition(":")[0]
    kept = [
        item for item in records if keep_fraction(item.patient_id, choice.fraction, choice.seed)
    ]
    flat = _flat_leads(kept) if choice.drops_flat_leads else {}
    dropped = [
        (item.record_id, item.patient_id, flat[item.record_id])
        for item in kept
        if item.record_id in flat
    ]
    return RawDataset(
        choice.dataset,
        [item for item in kept if item.record_id not in flat],
        split_rule,
        left_out=found.left_out + dropped,
        label_set=label_set if label_set.labels else None,
        notes=notes,
    )


def _codes_seen(records: Sequence[SourceRecord]) -> set[str]:
    return {code for item in records for code in json.loads(item.labels_json).get("snomed", ())}


def _flat_leads(records: Sequence[SourceRecord]) -> dict[str, str]:
    """Return record id -> reason for records with a lead that does not change."""
    reasons = {}
    for item in track(records, len(records), "records looked at for flat leads"):
        try:
            record = load_source(item)
        except RecordError:
            continue  # the preparation reads it again and lists it with the reason
        is_flat = (record.signal == record.signal[:, :1]).all(axis=1)
        if is_flat.any():
            names = [lead for lead, flat in zip(record.leads, is_flat, strict=True) if flat]
            reasons[item.record_id] = f"constant lead {', '.join(names)}"
    return reasons


def _count(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def _with_ptb_xl(records: list[SourceRecord], folder: Path, seed: int) -> list[SourceRecord]:
    """Give HR records PTB-XL's patient and published split; draw the splits of all others."""
    known = {
        f"HR{int(item.record_id):05d}": item
        for item in read_ptb_xl(folder, statements_needed=False)
    }
    others = [
        Member(item.record_id, item.patient_id) for item in records if item.record_id not in known
    ]
    splits = split_by_patient(others, seed).sides
    given = []
    for item in records:
        twin = known.get(item.record_id)
        patient = twin.patient_id if twin else item.patient_id
        split = twin.split if twin else splits[item.record_id]
        given.append(replace(item, patient_id=patient, split=split))
    return given


def add_challenge_options(parser: argparse.ArgumentParser, label_set: str = _LABEL_SET) -> None:
    """Declare the options of every source; ``label_set`` is the default."""
    add_split_option(parser, ("patient",))
    parser.add_argument(
        "--label-set",
        choices=LABEL_SETS,
        default=label_set,
        help="columns of labels/y.npy: the 26 scored classes, their 30 codes, CPSC's nine classes, "
        f"or every code that occurs (default {label_set})",
    )
    parser.add_argument(
        "--drop-flat-leads",
        action="store_true",
        help="leave out records with a constant lead, as fairseq-signals recommends (reads every "
        "signal once more)",
    )


def challenge_choice(
    arguments: argparse.Namespace,
    dataset: str,
    sources: tuple[str, ...],
    ptb_xl: Path | None = None,
) -> ChallengeChoice:
    """Return what the arguments of :func:`add_challenge_options` ask for, of some sources."""
    return choice_from(
        ChallengeChoice,
        arguments,
        dataset=dataset,
        sources=sources,
        ptb_xl=ptb_xl,
        drops_flat_leads=arguments.drop_flat_leads,
    )


def dataset_of_either_layout(
    arguments: argparse.Namespace, layout: HeaderLayout, source: str
) -> RawDataset:
    """Return a database's records, in its own layout or as the challenge's copy of it.

    Args:
        arguments: with the options of :func:`add_challenge_options`.
        layout: the database's own.
        source: the challenge's name of the database.

    Raises:
        ManifestError: the folder is neither, or options are given that only the copy knows.
    """
    if not layout.is_in(arguments.raw_dir):
        choice = challenge_choice(arguments, layout.name, (source,))
        return challenge_dataset(arguments.raw_dir, choice)
    if arguments.drop_flat_leads or arguments.label_set != _LABEL_SET:
        raise ManifestError(
            f"{arguments.raw_dir} is the database in its own layout; --label-set and "
            "--drop-flat-leads are for the challenge's copy of it: leave them out"
        )
    return layout.dataset(arguments.raw_dir, arguments.fraction, arguments.seed)
