"""PTB-XL's layout, with ECG-QA's questions below ``ecg-qa``.

Any number of workers writes the same bytes. An interrupted run goes on where it stopped: complete
records are kept, and the tables, which readers look for first, are written last.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ecg_fairseq.progress import track
from ecg_fairseq.records.preparation.shard_jobs import run_tasks
from ecg_fairseq.records.readers.wfdb_writer import is_complete, write_wfdb_record
from ecg_fairseq.records.simulated.cohort import (
    HEADER_LEADS,
    LOW_RATE_HZ,
    CohortSettings,
    claim_ptb_xl_folder,
    make_folder,
)
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
    simulated_report,
    write_tables,
)
from ecg_fairseq.signal.simulator import resample_leads
from ecg_fairseq.signal.simulator.leads import digitise

_RECORDS_PER_JOB = 50


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
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
    claim_ptb_xl_folder(folder, settings)
    planned = plan_cohort(settings.patients, settings.seed, settings.difficulty)
    for rate in ("records500", "records100"):
        for block in range(planned[-1].ecg_id // 1000 + 1):
            make_folder(folder / rate / f"{block * 1000:05d}")
    done = _write_signals(folder, planned, settings, workers)
    for _ in track(done, len(planned), "simulated records"):
        pass
    cases = [draw_case(record, settings.seed) for record in planned]
    rows = [
        database_row(case, simulated_report(case, settings.seed, settings.reports))
        for case in cases
    ]
    labelled = [labelled_record(case, row) for case, row in zip(cases, rows, strict=True)]
    questions = write_ecg_qa(folder / "ecg-qa", labelled, settings.seed, settings.question_types)
    write_tables(folder, rows)
    return {"records": len(planned), "patients": settings.patients, "questions": questions}


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
