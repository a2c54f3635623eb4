"""The PTB Diagnostic ECG Database's layout: ``patientNNN/sNNNN_re.hea``, ``.dat`` and ``.xyz``.

Fifteen leads at 1000 Hz, 38.4 s: the twelve usual ones and Frank's three in a file of their own,
made with the inverse Dower matrix.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.progress import track
from ecg_fairseq.records.preparation.shard_jobs import run_tasks
from ecg_fairseq.records.simulated.cardiologist_statements import ptb_diagnosis
from ecg_fairseq.records.simulated.cohort import CohortSettings, claim_folder
from ecg_fairseq.records.simulated.derived_signals import simulate_seconds
from ecg_fairseq.records.simulated.plan import PlannedRecord, draw_case, plan_cohort
from ecg_fairseq.records.simulated.wfdb_files import (
    interleaved,
    scaled_steps,
    signal_line,
    write_file,
)
from ecg_fairseq.signal.augmentations.vectorcardiogram import INVERSE_DOWER
from ecg_fairseq.signal.leads import CANONICAL_LEADS, INDEPENDENT_LEADS

_FS_HZ = 1000
_SECONDS = 38.4
_GAIN = 2000
_FRANK = ("vx", "vy", "vz")
_INDEPENDENT = [CANONICAL_LEADS.index(lead) for lead in INDEPENDENT_LEADS]


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
    """Write every visit of every patient; the same files for any number of workers.

    Raises:
        EcgError: bad settings, a folder that holds something else, or a full disk.
    """
    folder = Path(folder)
    claim_folder(folder, "ptb", settings)
    planned = plan_cohort(settings.patients, settings.seed, settings.difficulty)
    jobs = [(folder, item, settings.seed) for item in planned]
    for _ in track(run_tasks(_write, jobs, min(workers, len(jobs))), len(jobs), "records"):
        pass
    write_file(folder / "RECORDS", "".join(f"{_place(item)}\n" for item in planned))
    return {"records": len(planned), "patients": settings.patients}


def _place(planned: PlannedRecord) -> str:
    return f"patient{planned.patient:03d}/s{planned.ecg_id:04d}_re"


def _write(job: tuple[Path, PlannedRecord, int]) -> None:
    folder, planned, seed = job
    case = draw_case(planned, seed)
    signal = simulate_seconds(case, seed, _FS_HZ, _SECONDS)
    frank = sum(
        column.astype(np.float32)[:, None] * signal[row]
        for column, row in zip(INVERSE_DOWER.T, _INDEPENDENT, strict=True)
    )
    gains, zeros = np.full(12, _GAIN), np.zeros(12)
    twelve = scaled_steps(signal, gains, zeros)
    three = scaled_steps(np.asarray(frank), gains[:3], zeros[:3])
    path = folder / _place(planned)
    lines = [f"{path.name} 15 {_FS_HZ} {twelve.shape[1]}"]
    for suffix, steps, leads in ((".dat", twelve, CANONICAL_LEADS), (".xyz", three, _FRANK)):
        write_file(path.with_suffix(suffix), interleaved(steps))
        lines += [
            signal_line(f"{path.name}{suffix}", "16", str(_GAIN), row, lead.lower())
            for row, lead in zip(steps, leads, strict=True)
        ]
    reason, place = ptb_diagnosis(case.findings)
    lines += [
        f"# age: {case.person.age}",
        f"# sex: {'female' if case.person.sex else 'male'}",
        f"# ECG date: {case.person.recorded:%d/%m/%Y}",
        "# Diagnose:",
        f"# Reason for admission: {reason}",
        f"# Acute infarction (localization): {place}",
        "# Former infarction (localization): no",
        "# Additional diagnoses: unknown",
        "# Smoker: unknown",
    ]
    write_file(path.with_suffix(".hea"), "\n".join(lines) + "\n")
