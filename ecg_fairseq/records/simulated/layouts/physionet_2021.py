"""The PhysioNet challenge's ``training/SOURCE/gN/``: eight sources with the real ones' quirks.

Both forms of headers, `mv`, a record name with ``.mat``, an early header with a wrong gain, an
exact duplicate, flat leads, ages and diagnoses that are missing, 257, 500 and 1000 Hz, 6 s to half
an hour. Twenty patients have them all.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.progress import track
from ecg_fairseq.records.preparation.shard_jobs import run_tasks
from ecg_fairseq.records.simulated.cardiologist_statements import snomed_codes
from ecg_fairseq.records.simulated.cohort import CohortSettings, claim_folder
from ecg_fairseq.records.simulated.derived_signals import simulate_seconds
from ecg_fairseq.records.simulated.plan import (
    PlannedRecord,
    SimulatedCase,
    draw_case,
    plan_cohort,
)
from ecg_fairseq.records.simulated.wfdb_files import interleaved, signal_line, write_file
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.simulator.leads import digitise

# The first patients go through all sources, the further ones through the large ones.
_FIRST = (
    *("georgia", "ptb-xl", "chapman_shaoxing", "ningbo"),
    *("cpsc_2018", "cpsc_2018_extra", "ptb", "st_petersburg_incart"),
)
_FURTHER = (
    *("ptb-xl", "ningbo", "georgia", "chapman_shaoxing", "cpsc_2018"),
    *("ningbo", "ptb-xl", "georgia", "cpsc_2018_extra", "ningbo"),
)
_SEVERAL_VISITS = ("ptb-xl", "ptb", "st_petersburg_incart")
_RECORDS_PER_FOLDER = 1000
_RECORDS_PER_JOB = 20
_MAT_HEAD = struct.Struct("<5I4s")
_INT16_MATRIX = 30


@dataclass(frozen=True)
class _Form:
    """How a source's files look; a record lasts one of ``seconds``, in turn."""

    prefix: str
    digits: int
    first_number: int = 1
    unit: str = "mV"
    fs_hz: int = 500
    seconds: tuple[float, ...] = (10.0,)
    stamp: str = "12-May-2020 12:33:59"


_FORMS = {
    "cpsc_2018": _Form("A", 4, seconds=(10.0, 25.0, 15.176, 6.0, 52.0)),
    "cpsc_2018_extra": _Form("Q", 4, seconds=(21.0, 10.0, 51.908)),
    "st_petersburg_incart": _Form("I", 4, fs_hz=257, seconds=(1800.0,)),
    "ptb": _Form("S", 4, unit="mv", fs_hz=1000, seconds=(38.4,)),
    "ptb-xl": _Form("HR", 5, unit="mv"),
    "georgia": _Form("E", 5),
    "chapman_shaoxing": _Form("JS", 5),
    "ningbo": _Form("JS", 5, first_number=10647),
}


@dataclass(frozen=True)
class _Entry:
    """One record to write: the ``number``-th of its source, from 1."""

    planned: PlannedRecord
    source: str
    number: int

    @property
    def name(self) -> str:
        """Record name, such as ``JS10647``."""
        form = _FORMS[self.source]
        return f"{form.prefix}{form.first_number + self.number - 1:0{form.digits}d}"

    @property
    def folder(self) -> str:
        """``georgia/g1``."""
        return f"{self.source}/g{1 + (self.number - 1) // _RECORDS_PER_FOLDER}"

    @property
    def quirk(self) -> str:
        """What is odd about this record; empty for most."""
        return _QUIRKS.get((self.source, self.number), "")


_QUIRKS = {
    ("georgia", 2): "duplicate of the one before",
    ("georgia", 3): "record name with .mat",
    ("ptb-xl", 2): "early gain",
    ("ningbo", 2): "every other chest lead flat",
    ("ningbo", 3): "chest leads flat",
    ("cpsc_2018", 2): "age unknown",
    ("chapman_shaoxing", 2): "no diagnosis",
}


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
    """Write ``training/`` and the lists of its records; the same files for any number of workers.

    Raises:
        EcgError: bad settings, a folder that holds something else, or a full disk.
    """
    folder = Path(folder)
    claim_folder(folder, "physionet_2021", settings)
    entries = _plan(settings)
    jobs = [
        (folder, entries[start : start + _RECORDS_PER_JOB], _originals(entries), settings.seed)
        for start in range(0, len(entries), _RECORDS_PER_JOB)
    ]
    written = run_tasks(_write_job, jobs, min(workers, len(jobs)))
    for _ in track((name for names in written for name in names), len(entries), "records"):
        pass
    folders: dict[str, list[str]] = {}
    for entry in entries:
        folders.setdefault(entry.folder, []).append(entry.name)
    for name, names in folders.items():
        write_file(folder / "training" / name / "RECORDS", "".join(f"{item}\n" for item in names))
    lines = "".join(f"training/{name}/\n" for name in sorted(folders))
    write_file(folder / "RECORDS", lines)
    counts = {source: 0 for source in _FORMS}
    for entry in entries:
        counts[entry.source] += 1
    return {"records": len(entries), "patients": settings.patients, "sources": counts}


def _plan(settings: CohortSettings) -> list[_Entry]:
    """Return the records, source by source in each patient's turn."""
    entries = []
    counts = dict.fromkeys(_FORMS, 0)
    for planned in plan_cohort(settings.patients, settings.seed, settings.difficulty):
        place = planned.patient - 1
        further = (place - len(_FIRST)) % len(_FURTHER)
        source = _FIRST[place] if place < len(_FIRST) else _FURTHER[further]
        if planned.visit and source not in _SEVERAL_VISITS:
            continue
        counts[source] += 1
        entries.append(_Entry(planned, source, counts[source]))
    return entries


def _originals(entries: Sequence[_Entry]) -> dict[str, PlannedRecord]:
    """Return name of a duplicate -> the record whose signal it has."""
    by_place = {(entry.source, entry.number): entry.planned for entry in entries}
    return {
        entry.name: by_place[entry.source, entry.number - 1]
        for entry in entries
        if entry.quirk.startswith("duplicate")
    }


def _write_job(job: tuple[Path, list[_Entry], dict[str, PlannedRecord], int]) -> list[str]:
    folder, entries, originals, seed = job
    for entry in entries:
        _write(folder / "training" / entry.folder, entry, originals, seed)
    return [entry.name for entry in entries]


def _write(folder: Path, entry: _Entry, originals: dict[str, PlannedRecord], seed: int) -> None:
    form = _FORMS[entry.source]
    case = draw_case(originals.get(entry.name, entry.planned), seed)
    seconds = form.seconds[(entry.number - 1) % len(form.seconds)]
    steps = digitise(simulate_seconds(case, seed, form.fs_hz, seconds))
    if entry.quirk == "every other chest lead flat":
        steps[[7, 9, 11]] = 0
    elif entry.quirk == "chest leads flat":
        steps[6:] = 0
    write_file(folder / f"{entry.name}.mat", matlab4_bytes(steps))
    write_file(folder / f"{entry.name}.hea", _header(entry, case, steps))


def matlab4_bytes(steps: np.ndarray) -> bytes:
    """Return a MATLAB 4 file with the matrix ``val``: a head of 24 bytes, then int16 by columns.

    Args:
        steps: (L, T) int16.
    """
    head = _MAT_HEAD.pack(_INT16_MATRIX, *steps.shape, 0, len(b"val\0"), b"val\0")
    return head + interleaved(steps)


def _header(entry: _Entry, case: SimulatedCase, steps: np.ndarray) -> str:
    """Return a header: odd numbers in the form of 2021, even ones in the shorter of 2020."""
    form = _FORMS[entry.source]
    is_short = entry.number % 2 == 0 and entry.quirk != "early gain"
    size = f"{len(steps)} {form.fs_hz} {steps.shape[1]}"
    name = f"{entry.name}.mat" if entry.quirk == "record name with .mat" else entry.name
    kind, gain = ("16x1+24", "1000.0(0)") if is_short else ("16+24", "1000")
    scale = "200/mV" if entry.quirk == "early gain" else f"{gain}/{form.unit}"
    lines = [f"{name} {size}" if is_short else f"{name} {size} {form.stamp}"]
    lines += [
        signal_line(f"{entry.name}.mat", kind, scale, row, lead)
        for row, lead in zip(steps, CANONICAL_LEADS, strict=True)
    ]
    mark = "# " if is_short else "#"
    age = "NaN" if entry.quirk == "age unknown" else str(case.person.age)
    codes = [] if entry.quirk == "no diagnosis" else snomed_codes(case.findings, entry.source)
    comments = {
        "Age": age,
        "Sex": "Female" if case.person.sex else "Male",
        "Dx": ",".join(codes),
        "Rx": "Unknown",
        "Hx": "Unknown",
        "Sx": "Unknown",
    }
    lines += [f"{mark}{key}: {value}" for key, value in comments.items()]
    return "\n".join(lines) + "\n"
