"""Many recordings in MIMIC-IV-ECG's layout from a few hundred simulated signals.

Every recording has a folder, a header that names its own signal file, and lines in the tables; the
signal file is a hard link. Equal signals must be in one split, so signals come in families of four
and a subject's five recordings take theirs from one family: the splits then divide the families.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import write_json
from ecg_fairseq.progress import track
from ecg_fairseq.records.datasets.mimic_iv_ecg import MEASUREMENTS, RECORD_LIST
from ecg_fairseq.records.simulated.layouts.mimic_iv_ecg import FS_HZ, file_steps, header_text
from ecg_fairseq.records.simulated.layouts.mimic_iv_ecg_tables import (
    MEASUREMENT_COLUMNS,
    RECORD_COLUMNS,
    MimicRecord,
    csv_text,
    measurement_row,
    mimic_record,
    record_row,
)
from ecg_fairseq.records.simulated.plan import (
    PlannedRecord,
    SimulatedCase,
    draw_case,
    simulate_case,
)
from ecg_fairseq.records.simulated.wfdb_files import interleaved, write_file
from ecg_fairseq.signal.simulator import Recording

FAMILY_SIZE = 4
RECORDS_PER_SUBJECT = 5
LABELS = ("label a", "label b", "label c")
_MARKER = "scale.json"


@dataclass(frozen=True)
class RawSettings:
    """What decides the raw data's bytes."""

    records: int
    signals: int = 512
    seed: int = 1


@dataclass(frozen=True)
class _Signal:
    case: SimulatedCase
    recording: Recording
    steps: np.ndarray
    path: Path


def make_raw_data(folder: Path, settings: RawSettings) -> None:
    """Write the data, unless an earlier call completed them.

    Raises:
        EcgError: the folder holds something else, or two of the signals are equal.
    """
    marker = folder / _MARKER
    if marker.is_file() and json.loads(marker.read_text()) == asdict(settings):
        return
    if folder.exists() and any(folder.iterdir()):
        raise EcgError(
            f"{folder} holds other or incomplete data; remove it or choose another --raw"
        )
    signals = _make_signals(folder / "signals", settings)
    records = [_planned(number) for number in range(settings.records)]
    families = settings.signals // FAMILY_SIZE
    listed: list[dict[str, Any]] = []
    measured: list[dict[str, Any]] = []
    for record in track(records, len(records), "linked records"):
        family = (record.planned.patient - 1) % families
        member = record.planned.visit % FAMILY_SIZE
        signal = signals[family * FAMILY_SIZE + member]
        _link_record(folder, record, signal)
        listed.append(record_row(record, signal.case))
        measured.append(measurement_row(record, signal.case, signal.recording))
    write_file(folder / MEASUREMENTS, csv_text(MEASUREMENT_COLUMNS, measured))
    write_file(folder / RECORD_LIST, csv_text(RECORD_COLUMNS, listed))
    write_file(folder / "labels.csv", _label_table(records, settings.seed))
    write_json(marker, asdict(settings))


def _planned(number: int) -> MimicRecord:
    patient, visit = divmod(number, RECORDS_PER_SUBJECT)
    return mimic_record(PlannedRecord(number + 1, patient + 1, visit, fold=1))


def _make_signals(folder: Path, settings: RawSettings) -> list[_Signal]:
    signals = []
    for number in track(range(settings.signals), settings.signals, "simulated signals"):
        case = draw_case(PlannedRecord(number + 1, number + 1, 0, 1), settings.seed)
        recording = simulate_case(case, settings.seed, FS_HZ)
        steps = file_steps(recording.signal)
        path = folder / f"{number:05d}.dat"
        write_file(path, interleaved(steps))
        signals.append(_Signal(case, recording, steps, path))
    if len({signal.steps.tobytes() for signal in signals}) != settings.signals:
        raise EcgError("two simulated signals are equal; choose another --seed")
    return signals


def _link_record(folder: Path, record: MimicRecord, signal: _Signal) -> None:
    path = folder / record.path
    path.parent.mkdir(parents=True)
    os.link(signal.path, f"{path}.dat")
    Path(f"{path}.hea").write_text(header_text(record, signal.case, signal.steps))


def _label_table(records: list[MimicRecord], seed: int) -> str:
    """Return labels drawn at random, with no line for every tenth recording."""
    values = np.random.default_rng([seed, 103]).integers(0, 2, (len(records), len(LABELS)))
    lines = [",".join(("study_id", *LABELS))]
    for number, record in enumerate(records):
        if number % 10:
            lines.append(",".join(map(str, (record.study_id, *values[number].tolist()))))
    return "\n".join(lines) + "\n"
