"""LUDB's layout: ``data/N.hea`` with ``.dat``, and ``ludb.csv``.

Lower-case leads, a gain and a baseline for each lead, diagnoses as comments; no delineation marks.
"""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.progress import track
from ecg_fairseq.records.preparation.shard_jobs import run_tasks
from ecg_fairseq.records.simulated.cardiologist_statements import ludb_statements
from ecg_fairseq.records.simulated.cohort import CohortSettings, claim_folder
from ecg_fairseq.records.simulated.plan import (
    PlannedRecord,
    SimulatedCase,
    draw_case,
    plan_cohort,
    simulate_case,
)
from ecg_fairseq.records.simulated.wfdb_files import (
    interleaved,
    scaled_steps,
    signal_line,
    write_file,
)
from ecg_fairseq.signal.leads import CANONICAL_LEADS

_FS_HZ = 500
_STREAM_GAINS = 101  # apart from the streams of simulated_cohort_plan
_COLUMNS = (
    *("ID", "Sex", "Age", "Rhythms", "Electric axis of the heart", "Conduction abnormalities"),
    *("Extrasystolies", "Hypertrophies", "Cardiac pacing", "Ischemia"),
    *("Non-specific repolarization abnormalities", "Other states"),
)
# A word of a statement -> the column of ludb.csv it stands in.
_COLUMN_WORDS = {
    "Rhythm": "Rhythms",
    "Electric": "Electric axis of the heart",
    "Complete": "Conduction abnormalities",
    "I": "Conduction abnormalities",
    "Ventricular": "Extrasystolies",
    "Left": "Hypertrophies",
    "STEMI": "Ischemia",
    "Non-specific": "Non-specific repolarization abnormalities",
}


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
    """Write one record a patient; the same files for any number of workers.

    Raises:
        EcgError: bad settings, a folder that holds something else, or a full disk.
    """
    folder = Path(folder)
    claim_folder(folder, "ludb", settings)
    planned = [
        item
        for item in plan_cohort(settings.patients, settings.seed, settings.difficulty)
        if not item.visit
    ]
    jobs = [(folder / "data", item, settings.seed) for item in planned]
    for _ in track(run_tasks(_write, jobs, min(workers, len(jobs))), len(jobs), "records"):
        pass
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_table_row(draw_case(item, settings.seed)) for item in planned)
    write_file(folder / "ludb.csv", text.getvalue())
    names = "".join(f"data/{item.patient}\n" for item in planned)
    write_file(folder / "RECORDS", names)
    return {"records": len(planned), "patients": settings.patients}


def _age(case: SimulatedCase) -> str:
    return str(case.person.age) if case.person.age <= 89 else ">89"


def _sex(case: SimulatedCase) -> str:
    return "F" if case.person.sex else "M"


def _write(job: tuple[Path, PlannedRecord, int]) -> None:
    folder, planned, seed = job
    case = draw_case(planned, seed)
    random = np.random.default_rng([seed, _STREAM_GAINS, planned.patient])
    gains, baselines = random.integers(700, 2400, 12), random.integers(-6, 7, 12)
    steps = scaled_steps(simulate_case(case, seed, _FS_HZ).signal, gains, baselines)
    name = str(planned.patient)
    lines = [f"{name} {len(steps)} {_FS_HZ} {steps.shape[1]}"]
    lines += [
        signal_line(f"{name}.dat", "16", f"{gain}({baseline})/mV", row, lead.lower(), 0)
        for row, lead, gain, baseline in zip(steps, CANONICAL_LEADS, gains, baselines, strict=True)
    ]
    lines += [f"#<age>: {_age(case)}", f"#<sex>: {_sex(case)}", "#<diagnoses>:"]
    lines += [f"#{statement}" for statement in ludb_statements(case.findings)]
    write_file(folder / f"{name}.dat", interleaved(steps))
    write_file(folder / f"{name}.hea", "\n".join(lines) + "\n")


def _table_row(case: SimulatedCase) -> dict[str, str]:
    """Return a line of ``ludb.csv``, whose cells end with line breaks."""
    row = dict.fromkeys(_COLUMNS, "")
    row |= {"ID": str(case.planned.patient), "Sex": f"{_sex(case)}\n", "Age": f"{_age(case)}\n"}
    for statement in ludb_statements(case.findings):
        column = _COLUMN_WORDS[statement.split()[0].rstrip(":")]
        row[column] += statement.strip().rstrip(".").removeprefix("Rhythm: ") + "\n"
    return row
