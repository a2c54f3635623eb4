"""The St Petersburg INCART database's layout: ``I01.hea`` with ``.dat``, 257 Hz, half an hour.

Gains of each lead without a unit, patients in the comments; no beat marks. A record has 11 MB, and
the simulated one repeats a minute.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import EcgError
from ecg_fairseq.progress import track
from ecg_fairseq.records.preparation.shard_jobs import run_tasks
from ecg_fairseq.records.simulated.cardiologist_statements import incart_findings
from ecg_fairseq.records.simulated.cohort import HEADER_LEADS, CohortSettings, claim_folder
from ecg_fairseq.records.simulated.derived_signals import simulate_seconds
from ecg_fairseq.records.simulated.plan import PlannedRecord, draw_case, plan_cohort
from ecg_fairseq.records.simulated.wfdb_files import (
    interleaved,
    scaled_steps,
    signal_line,
    write_file,
)

_FS_HZ = 257
_SECONDS = 1800.0
_MOST_RECORDS = 99  # two digits in a record's name
_STREAM_GAINS = 102  # apart from the streams of simulated_cohort_plan


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
    """Write every visit of every patient; the same files for any number of workers.

    Raises:
        EcgError: bad settings, too many records, a folder that holds something else, a full disk.
    """
    folder = Path(folder)
    planned = (
        plan_cohort(settings.patients, settings.seed, settings.difficulty)
        if settings.patients > 0
        else []
    )
    if len(planned) > _MOST_RECORDS:
        raise EcgError(
            f"--patients {settings.patients} gives {len(planned)} records; layout incart has names "
            f"for {_MOST_RECORDS} (about {_MOST_RECORDS // 2} patients)"
        )
    claim_folder(folder, "incart", settings)
    jobs = [(folder, item, settings.seed) for item in planned]
    for _ in track(run_tasks(_write, jobs, min(workers, len(jobs))), len(jobs), "records"):
        pass
    write_file(folder / "RECORDS", "".join(f"I{item.ecg_id:02d}\n" for item in planned))
    return {"records": len(planned), "patients": settings.patients}


def _write(job: tuple[Path, PlannedRecord, int]) -> None:
    folder, planned, seed = job
    case = draw_case(planned, seed)
    random = np.random.default_rng([seed, _STREAM_GAINS, planned.patient, planned.visit])
    gains = random.integers(250, 1100, 12)
    steps = scaled_steps(simulate_seconds(case, seed, _FS_HZ, _SECONDS), gains, np.zeros(12))
    name = f"I{planned.ecg_id:02d}"
    lines = [f"{name} 12 {_FS_HZ} {steps.shape[1]}"]
    lines += [
        signal_line(f"{name}.dat", "16", str(gain), row, lead)
        for row, lead, gain in zip(steps, HEADER_LEADS, gains, strict=True)
    ]
    sex = "F" if case.person.sex else "M"
    # Half of the real headers have no diagnoses, and end with a blank.
    has_diagnoses = planned.ecg_id % 2 == 1
    diagnoses = "<diagnoses> Coronary artery disease" if has_diagnoses else ""
    lines += [f"#<age>: {case.person.age} <sex>: {sex} {diagnoses}"]
    lines += [f"# patient {planned.patient}", f"# {incart_findings(case.findings)}".rstrip()]
    write_file(folder / f"{name}.dat", interleaved(steps))
    write_file(folder / f"{name}.hea", "\n".join(lines) + "\n")
