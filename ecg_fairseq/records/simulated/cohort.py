"""Writes a simulated cohort: signals in PTB-XL's layout, questions in ECG-QA's.

Any number of workers writes the same bytes. An interrupted run goes on where it stopped: complete
records are kept, and the tables, which readers look for first, are written last.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import read_json, write_json
from ecg_fairseq.progress import track
from ecg_fairseq.records.preparation.shard_jobs import run_tasks
from ecg_fairseq.records.questions.from_labels import QUESTION_TYPES
from ecg_fairseq.records.readers.wfdb_writer import is_complete, write_wfdb_record
from ecg_fairseq.records.simulated.ecg_qa_questions import write_ecg_qa
from ecg_fairseq.records.simulated.plan import (
    PlannedRecord,
    draw_case,
    plan_cohort,
    simulate_case,
)
from ecg_fairseq.records.simulated.ptb_xl_tables import (
    database_row,
    labelled_record,
    write_tables,
)
from ecg_fairseq.signal.simulator import resample_leads
from ecg_fairseq.signal.simulator.leads import digitise

SIMULATOR_VERSION = 1
LOW_RATE_HZ = 100
MARKER = "simulation.json"
# PTB-XL's headers write the augmented leads in capitals.
HEADER_LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
_RECORDS_PER_JOB = 50


@dataclass(frozen=True)
class CohortSettings:
    """What decides a cohort's bytes.

    Attributes:
        patients: number of patients; each has one to three recordings.
        seed: of everything random.
        fs_hz: rate of the files below ``records500`` (``records100`` always holds 100 Hz).
        question_types: ECG-QA question types to build.
    """

    patients: int
    seed: int = 1
    fs_hz: int = 500
    question_types: tuple[str, ...] = QUESTION_TYPES

    def validate(self) -> None:
        """Refuse impossible settings with an EcgError."""
        if self.patients < 1:
            raise EcgError(f"--patients {self.patients}: a cohort needs at least one patient")
        if self.seed < 0:
            raise EcgError(f"--seed {self.seed}: give a whole number of 0 or more")
        if self.fs_hz % LOW_RATE_HZ or not LOW_RATE_HZ <= self.fs_hz <= 2000:
            raise EcgError(
                f"--fs {self.fs_hz}: give a multiple of {LOW_RATE_HZ} Hz from {LOW_RATE_HZ} to 2000"
            )
        unknown = [name for name in self.question_types if name not in QUESTION_TYPES]
        if unknown:
            raise EcgError(
                f"unknown question types {', '.join(unknown)}; known are "
                f"{', '.join(QUESTION_TYPES)}"
            )


def write_cohort(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, object]:
    """Write a cohort, or complete one that was interrupted.

    Args:
        folder: where PTB-XL's files go; the questions go to ``folder``/ecg-qa.
        settings: what to simulate.
        workers: processes; any number gives the same files.

    Returns:
        ``{"records": int, "patients": int, "questions": {split: int}}``.

    Raises:
        EcgError: bad settings, a folder that holds another cohort, or a full disk.
    """
    settings.validate()
    folder = Path(folder)
    _claim(folder, settings)
    planned = plan_cohort(settings.patients, settings.seed)
    for rate in ("records500", "records100"):
        for block in range(planned[-1].ecg_id // 1000 + 1):
            _make_folder(folder / rate / f"{block * 1000:05d}")
    done = _write_signals(folder, planned, settings, workers)
    for _ in track(done, len(planned), "simulated records"):
        pass
    cases = [draw_case(record, settings.seed) for record in planned]
    rows = [database_row(case) for case in cases]
    labelled = [labelled_record(case, row) for case, row in zip(cases, rows, strict=True)]
    questions = write_ecg_qa(folder / "ecg-qa", labelled, settings.seed, settings.question_types)
    write_tables(folder, rows)
    return {"records": len(planned), "patients": settings.patients, "questions": questions}


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EcgError(
            f"cannot make the folder {folder}: {error.strerror or error}; choose another --out"
        ) from error


def _claim(folder: Path, settings: CohortSettings) -> None:
    """Write down whose cohort the folder holds; refuse a folder that holds something else."""
    wanted = {"format": "ecg_fairseq.simulation", "version": SIMULATOR_VERSION}
    wanted |= asdict(settings) | {"question_types": list(settings.question_types)}
    marker = folder / MARKER
    if marker.exists():
        found = read_json(marker, EcgError, "description of the simulated cohort")
        if found != wanted:
            raise EcgError(
                f"{folder} holds a cohort of other settings ({found}; wanted {wanted}); choose "
                "another --out or remove that folder"
            )
        return
    if (folder / "ptbxl_database.csv").exists():
        raise EcgError(
            f"{folder} holds a dataset that is not simulated; choose another folder for --out"
        )
    _make_folder(folder)
    write_json(marker, wanted)


def _write_signals(
    folder: Path, planned: Sequence[PlannedRecord], settings: CohortSettings, workers: int
) -> Iterator[int]:
    """Write all recordings; yield once for each."""
    jobs = [
        (folder, list(planned[start : start + _RECORDS_PER_JOB]), settings.seed, settings.fs_hz)
        for start in range(0, len(planned), _RECORDS_PER_JOB)
    ]
    for count in run_tasks(_write_job, jobs, min(workers, len(jobs))):
        yield from range(count)


def _write_job(job: tuple[Path, list[PlannedRecord], int, int]) -> int:
    folder, planned, seed, fs_hz = job
    for record in planned:
        _write_record(folder, record, seed, fs_hz)
    return len(planned)


def _write_record(folder: Path, planned: PlannedRecord, seed: int, fs_hz: int) -> None:
    block = f"{planned.ecg_id // 1000 * 1000:05d}"
    high = folder / "records500" / block / f"{planned.ecg_id:05d}_hr"
    low = folder / "records100" / block / f"{planned.ecg_id:05d}_lr"
    if is_complete(high) and is_complete(low):
        return
    signal = simulate_case(draw_case(planned, seed), seed, fs_hz).signal
    write_wfdb_record(high, digitise(signal), fs_hz, HEADER_LEADS)
    lowered = resample_leads(signal, fs_hz, LOW_RATE_HZ)
    write_wfdb_record(low, digitise(lowered), LOW_RATE_HZ, HEADER_LEADS)
