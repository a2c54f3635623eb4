"""MIMIC-IV-ECG's layout: ``files/pNNNN/pNNNNNNNN/sNNNNNNNN/``, its tables, and what others add.

aVF before aVL in every header, 200 steps per mV, missing samples in one recording of 25. Beside it
``mimic-iv/hosp/patients.csv``, ``ecg-qa/`` (ECG-QA's questions) and ``ecg-chat/``.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.progress import track
from ecg_fairseq.records.datasets.mimic_iv_ecg import MEASUREMENTS, RECORD_LIST
from ecg_fairseq.records.preparation.shard_jobs import run_tasks
from ecg_fairseq.records.questions.ptb_xl_statements import LabelledRecord
from ecg_fairseq.records.readers.wfdb_writer import NO_SAMPLE
from ecg_fairseq.records.simulated.cohort import CohortSettings, claim_folder
from ecg_fairseq.records.simulated.ecg_qa_questions import write_ecg_qa
from ecg_fairseq.records.simulated.layouts.mimic_iv_ecg_tables import (
    DICTIONARY_COLUMNS,
    MEASUREMENT_COLUMNS,
    PATIENT_COLUMNS,
    RECORD_COLUMNS,
    MimicRecord,
    conversation,
    csv_text,
    dictionary_rows,
    json_text,
    measurement_row,
    mimic_record,
    patient_row,
    record_row,
    shifted_time,
)
from ecg_fairseq.records.simulated.plan import (
    SimulatedCase,
    draw_case,
    plan_cohort,
    simulate_case,
)
from ecg_fairseq.records.simulated.ptb_xl_tables import database_row, labelled_record
from ecg_fairseq.records.simulated.wfdb_files import interleaved, signal_line, write_file
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.simulator.leads import digitise

HEADER_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
STEPS_PER_MV = 200
FS_HZ = 500
_ROWS = [CANONICAL_LEADS.index(lead) for lead in HEADER_LEADS]
_RECORDS_PER_JOB = 50
_STREAM_MISSING = 102  # apart from the streams of simulated_cohort_plan
_MISSING_EVERY, _MISSING_FIRST = 25, 13  # so that small cohorts stay below the skip limit


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
    """Write recordings, tables, questions and conversations; the same for any number of workers.

    Raises:
        EcgError: bad settings, a folder that holds something else, or a full disk.
    """
    folder = Path(folder)
    claim_folder(folder, "mimic_iv_ecg", settings)
    records = [
        mimic_record(planned)
        for planned in plan_cohort(settings.patients, settings.seed, settings.difficulty)
    ]
    jobs = [
        (folder, records[start : start + _RECORDS_PER_JOB], settings.seed)
        for start in range(0, len(records), _RECORDS_PER_JOB)
    ]
    written = run_tasks(_write_job, jobs, min(workers, len(jobs)))
    rows = list(track((row for part in written for row in part), len(records), "records"))
    # Tables are in the order of subjects and studies, as published.
    records.sort(key=lambda item: (item.subject_id, item.study_id))
    cases = {item.study_id: draw_case(item.planned, settings.seed) for item in records}
    _write_tables(folder, records, cases, rows)
    questions = write_ecg_qa(
        folder / "ecg-qa",
        _labelled(records, cases),
        settings.seed,
        settings.question_types,
        version="mimic-iv-ecg",
        num_digits=6,
    )
    items = [conversation(item, cases[item.study_id]) for item in records]
    write_file(folder / "ecg-chat" / "pretrain_mimic.json", json_text(items))
    return {"records": len(records), "patients": settings.patients, "questions": questions}


def has_missing_samples(record: MimicRecord) -> bool:
    """Say whether a simulated recording has missing samples."""
    return record.planned.ecg_id % _MISSING_EVERY == _MISSING_FIRST


def _write_job(job: tuple[Path, list[MimicRecord], int]) -> list[dict[str, object]]:
    folder, records, seed = job
    rows = []
    for record in records:
        case = draw_case(record.planned, seed)
        recording = simulate_case(case, seed, FS_HZ)
        steps = file_steps(recording.signal)
        if has_missing_samples(record):
            _remove_samples(steps, np.random.default_rng([seed, _STREAM_MISSING, record.study_id]))
        write_file(folder / f"{record.path}.dat", interleaved(steps))
        write_file(folder / f"{record.path}.hea", header_text(record, case, steps))
        rows.append(measurement_row(record, case, recording))
    return rows


def file_steps(signal: np.ndarray) -> np.ndarray:
    """Return int16 (12, T) in the files' order of leads, of a signal (12, T) in mV."""
    return np.ascontiguousarray(digitise(signal, STEPS_PER_MV)[_ROWS])


def header_text(record: MimicRecord, case: SimulatedCase, steps: np.ndarray) -> str:
    """Return a header as MIMIC-IV-ECG has it: time, date, and the subject as a comment."""
    name = str(record.study_id)
    first = f"{name} {len(steps)} {FS_HZ} {steps.shape[1]} {shifted_time(case):%H:%M:%S %d/%m/%Y}"
    gain = f"{STEPS_PER_MV:.1f}(0)/mV"
    signals = [
        signal_line(f"{name}.dat", "16", gain, row, lead)
        for row, lead in zip(steps, HEADER_LEADS, strict=True)
    ]
    return "\n".join([first, *signals, f"# <subject_id>: {record.subject_id}"]) + "\n"


def _remove_samples(steps: np.ndarray, random: np.random.Generator) -> None:
    """Mark a run of samples of one lead as missing."""
    lead, start = int(random.integers(len(steps))), int(random.integers(steps.shape[1] - 100))
    steps[lead, start : start + int(random.integers(1, 100))] = NO_SAMPLE


def _labelled(
    records: Sequence[MimicRecord], cases: dict[int, SimulatedCase]
) -> list[LabelledRecord]:
    """Return what ECG-QA asks about: complete recordings, and no kinds of noise."""
    found = []
    for record in records:
        if not has_missing_samples(record):
            case = cases[record.study_id]
            labelled = labelled_record(case, database_row(case))
            study, subject = str(record.study_id), str(record.subject_id)
            found.append(replace(labelled, record_id=study, patient_id=subject, noises=None))
    return found


def _write_tables(
    folder: Path,
    records: Sequence[MimicRecord],
    cases: dict[int, SimulatedCase],
    measurements: list[dict[str, object]],
) -> None:
    by_study = {row["study_id"]: row for row in measurements}
    measured = [by_study[item.study_id] for item in records]
    firsts = [item for item in records if item.planned.visit == 0]
    people = [patient_row(item, cases[item.study_id]) for item in firsts]
    listed = [record_row(item, cases[item.study_id]) for item in records]
    dictionary = f"{Path(MEASUREMENTS).stem}_data_dictionary.csv"
    for name, columns, rows in (
        (MEASUREMENTS, MEASUREMENT_COLUMNS, measured),
        (dictionary, DICTIONARY_COLUMNS, dictionary_rows()),
        ("mimic-iv/hosp/patients.csv", PATIENT_COLUMNS, people),
        (RECORD_LIST, RECORD_COLUMNS, listed),
    ):
        write_file(folder / name, csv_text(columns, rows))
