"""CODE-15%'s layout: ``exams.csv`` and several ``exams_partN.hdf5`` at 400 Hz.

As published, tracings are filled up with zeros to 4096 samples at both ends, those of 7 s more so;
every part ends with a row of zeros, exam 0; a few tracings are all zeros; parts and table have the
exams in different orders; ``trace_file``, ``death`` and ``timey`` stand only at a patient's first
exam. Same bytes for any number of workers: HDF5 gets no times.
"""

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import EcgError
from ecg_fairseq.progress import track
from ecg_fairseq.records.preparation.shard_jobs import run_tasks
from ecg_fairseq.records.readers.code_15_hdf5 import EXAM_IDS, TRACINGS
from ecg_fairseq.records.simulated.cohort import CohortSettings, claim_folder
from ecg_fairseq.records.simulated.plan import (
    PlannedRecord,
    SimulatedCase,
    draw_case,
    plan_cohort,
    simulate_case,
)
from ecg_fairseq.records.simulated.wfdb_files import write_file

_FS_HZ = 400
_SAMPLES = 4096
_SHORT_SAMPLES = 2800  # 7 s
_MOST_PARTS, _FEWEST_PARTS, _EXAMS_PER_PART = 18, 3, 500
_EMPTY_EVERY = 50  # one exam in so many has a tracing of zeros
_STREAM_IDS, _STREAM_EXAM = 111, 112  # apart from the streams of simulated_cohort_plan
_COLUMNS = (
    *("exam_id", "age", "is_male", "nn_predicted_age", "1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"),
    *("patient_id", "death", "timey", "normal_ecg", "trace_file"),
)


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
    """Write all parts, then the table; the same files for any number of workers.

    Raises:
        EcgError: bad settings, a folder that holds something else, or a full disk.
    """
    folder = Path(folder)
    claim_folder(folder, "code_15", settings)
    planned = plan_cohort(settings.patients, settings.seed, settings.difficulty)
    exam_ids = _ids(len(planned), 1_000, settings.seed)
    patients = _ids(settings.patients, 200_000, settings.seed + 1)
    num_parts = min(_MOST_PARTS, max(_FEWEST_PARTS, len(planned) // _EXAMS_PER_PART), len(planned))
    jobs = []
    for part in range(num_parts):
        # By exam id, which has nothing to do with the order of the table.
        inside = sorted(range(part, len(planned), num_parts), key=exam_ids.__getitem__)
        exams = [(planned[index], exam_ids[index]) for index in inside]
        jobs.append((folder / f"exams_part{part}.hdf5", exams, settings.seed))
    done = run_tasks(_write_part, jobs, min(workers, len(jobs)))
    for _ in track((one for count in done for one in range(count)), len(planned), "exams"):
        pass
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for index, item in enumerate(planned):
        case = draw_case(item, settings.seed)
        names = (exam_ids[index], patients[item.patient - 1], f"exams_part{index % num_parts}.hdf5")
        writer.writerow(_row(case, *names, settings.seed))
    write_file(folder / "exams.csv", text.getvalue())
    return {"records": len(planned), "patients": settings.patients, "parts": num_parts}


def _ids(count: int, first: int, seed: int) -> list[int]:
    """Return different ids in no order."""
    order = np.random.default_rng([seed, _STREAM_IDS]).permutation(count)
    return [first + 13 * int(place) for place in order]


def _write_part(job: tuple[Path, list[tuple[PlannedRecord, int]], int]) -> int:
    """Write one part row by row, and its last row of zeros; return the number of exams."""
    import h5py

    path, exams, seed = job
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(temporary, "w", libver="earliest") as file:
            ids = [exam_id for _, exam_id in exams]
            file.create_dataset(EXAM_IDS, data=np.array([*ids, 0], np.int64), track_times=False)
            shape = (len(exams) + 1, _SAMPLES, 12)
            tracings = file.create_dataset(TRACINGS, shape, np.float32, track_times=False)
            for row, (planned, _) in enumerate(exams):
                tracings[row] = _tracing(planned, seed)
            tracings[len(exams)] = 0.0
        os.replace(temporary, path)
    except OSError as error:
        raise EcgError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another "
            "folder, then run the same command again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return len(exams)


def _tracing(planned: PlannedRecord, seed: int) -> np.ndarray:
    """Return float32 (4096, 12): the recording in the middle, zeros round it."""
    tracing = np.zeros((_SAMPLES, 12), np.float32)
    if planned.ecg_id % _EMPTY_EVERY == 0:
        return tracing
    signal = simulate_case(draw_case(planned, seed), seed, _FS_HZ).signal
    if _exam_random(planned, seed).random() < 0.4:
        signal = signal[:, :_SHORT_SAMPLES]
    start = (_SAMPLES - signal.shape[1]) // 2
    tracing[start : start + signal.shape[1]] = signal.T
    return tracing


def _exam_random(planned: PlannedRecord, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, _STREAM_EXAM, planned.patient, planned.visit])


def _row(
    case: SimulatedCase, exam_id: int, patient_id: int, part: str, seed: int
) -> dict[str, object]:
    findings, random = case.findings, _exam_random(case.planned, seed)
    is_sinus, is_first = not findings.atrial_fibrillation, not case.planned.visit
    random.random()  # the first number decides the length of the tracing
    predicted_age = case.person.age + random.normal(0.0, 8.0)
    followed_years = random.uniform(0.1, 8.0)
    return {
        "exam_id": exam_id,
        "age": case.person.age,
        "is_male": not case.person.sex,
        "nn_predicted_age": f"{predicted_age:.5f}",
        "1dAVb": findings.av_block,
        "RBBB": findings.conduction == "right_bundle_block",
        "LBBB": findings.conduction == "left_bundle_block",
        "SB": is_sinus and findings.rate_class == "slow",
        "ST": is_sinus and findings.rate_class == "fast",
        "AF": findings.atrial_fibrillation,
        "patient_id": patient_id,
        "death": bool(random.random() < 0.05) if is_first else "",
        "timey": f"{followed_years:.6f}" if is_first else "",
        "normal_ecg": findings.is_normal_ecg,
        "trace_file": part if is_first else "",
    }
