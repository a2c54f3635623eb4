"""UK Biobank's layout: ``ecg/EID_20205_INSTANCE_ARRAY.xml`` and a table ``participants.csv``.

CardioSoft XML in Latin-1, 5 uV a step, numbers broken over lines with tabs; some files lack the
median beat or the recording, some have ``StripData`` inside ``Strip``. The table, which a user
makes from other fields, has an outcome with its time and lacks a few participants.
"""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.progress import track
from ecg_fairseq.records.preparation.shard_jobs import run_tasks
from ecg_fairseq.records.simulated.cohort import CohortSettings, claim_folder
from ecg_fairseq.records.simulated.derived_signals import typical_beat
from ecg_fairseq.records.simulated.plan import (
    PlannedRecord,
    SimulatedCase,
    draw_case,
    plan_cohort,
    simulate_case,
)
from ecg_fairseq.records.simulated.wfdb_files import write_file
from ecg_fairseq.signal.leads import CANONICAL_LEADS

_FS_HZ = 500
_STEPS_PER_MV = 200
_NUMBERS_A_LINE = 20
_NO_MEDIAN_EVERY, _NO_STRIP_EVERY, _INNER_STRIP_EVERY, _NOT_LISTED_EVERY = 20, 40, 7, 15
_STREAM_OUTCOMES = 121  # apart from the streams of simulated_cohort_plan
# Visit of the simulated cohort -> instance and array of the field.
_VISITS = ((2, 0), (3, 0), (3, 1))
_FIRST_EID = 1_000_000
_FILE = """<?xml version="1.0" encoding="ISO-8859-1"?>
<CardiologyXML>
\t<ObservationType>RestECG</ObservationType>
\t<ObservationDateTime>
\t\t<Hour>{when.hour}</Hour><Minute>{when.minute}</Minute><Second>{when.second}</Second>
\t\t<Day>{when.day}</Day><Month>{when.month}</Month><Year>{when.year}</Year>
\t</ObservationDateTime>
\t<PatientInfo>
\t\t<PID>{eid}</PID><Gender>{sex}</Gender><Age units="Years">{age}</Age>
\t\t<PaceMaker>no</PaceMaker>
\t</PatientInfo>
\t<FilterSetting><Filter50Hz>yes</Filter50Hz><LowPass units="Hz">100</LowPass></FilterSetting>
\t<Interpretation><Diagnosis><DiagnosisText>Gr\xf6\xdfe & Lage</DiagnosisText></Diagnosis>
\t</Interpretation>
{blocks}</CardiologyXML>
"""


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
    """Write one file a visit and the table; the same files for any number of workers.

    Raises:
        EcgError: bad settings, a folder that holds something else, or a full disk.
    """
    folder = Path(folder)
    claim_folder(folder, "uk_biobank", settings)
    planned = plan_cohort(settings.patients, settings.seed, settings.difficulty)
    jobs = [(folder / "ecg", item, settings.seed) for item in planned]
    for _ in track(run_tasks(_write, jobs, min(workers, len(jobs))), len(jobs), "records"):
        pass
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("eid", "sex", "age", "status", "duration"))
    first = [draw_case(item, settings.seed) for item in planned if not item.visit]
    listed = [case for case in first if case.planned.patient % _NOT_LISTED_EVERY]
    writer.writerows(_participant(case, settings.seed) for case in listed)
    write_file(folder / "participants.csv", text.getvalue())
    return {"records": len(planned), "patients": settings.patients}


def _participant(case: SimulatedCase, seed: int) -> tuple[object, ...]:
    """Return eid, sex, age, status and days: an event is likelier with a broad QRS or no P wave."""
    random = np.random.default_rng([seed, _STREAM_OUTCOMES, case.planned.patient])
    findings = case.findings
    is_ill = findings.conduction == "left_bundle_block" or findings.atrial_fibrillation
    status = int(random.random() < (0.3 if is_ill else 0.05))
    days = int(random.integers(30, 1500 if status else 2500))
    sex = "Female" if case.person.sex else "Male"
    return _FIRST_EID + case.planned.patient, sex, case.person.age, status, days


def _write(job: tuple[Path, PlannedRecord, int]) -> None:
    folder, planned, seed = job
    case = draw_case(planned, seed)
    signal = simulate_case(case, seed, _FS_HZ).signal
    blocks = ""
    if planned.ecg_id % _NO_MEDIAN_EVERY:
        block = _block("MedianSamples", typical_beat(signal, _FS_HZ))
        blocks += f"\t<RestingECGMeasurements>\n{block}\t</RestingECGMeasurements>\n"
    if planned.ecg_id % _NO_STRIP_EVERY:
        block = _block("StripData", signal)
        is_inner = planned.ecg_id % _INNER_STRIP_EVERY == 0
        blocks += f"\t<Strip>\n{block}\t</Strip>\n" if is_inner else block
    eid = _FIRST_EID + planned.patient
    text = _FILE.format(
        when=case.person.recorded,
        eid=eid,
        sex="FEMALE" if case.person.sex else "MALE",
        age=case.person.age,
        blocks=blocks,
    )
    instance, array = _VISITS[planned.visit]
    write_file(folder / f"{eid}_20205_{instance}_{array}.xml", text.encode("latin-1"))


def _block(name: str, signal: np.ndarray) -> str:
    """Return a block of leads (12, T) in mV."""
    steps = np.rint(signal * _STEPS_PER_MV).astype(int)
    head = (
        f"\t<{name}>\n\t\t<NumberOfLeads>{len(steps)}</NumberOfLeads>\n"
        f'\t\t<SampleRate units="Hz">{_FS_HZ}</SampleRate>\n'
        f"\t\t<ChannelSampleCountTotal>{steps.shape[1]}</ChannelSampleCountTotal>\n"
        f'\t\t<Resolution units="uVperLsb">{1000 // _STEPS_PER_MV}</Resolution>\n'
    )
    leads = "".join(
        f'\t\t<WaveformData lead="{lead}">{_numbers(row.tolist())}</WaveformData>\n'
        for lead, row in zip(CANONICAL_LEADS, steps, strict=True)
    )
    return f"{head}{leads}\t</{name}>\n"


def _numbers(row: list[int]) -> str:
    lines = [
        ",".join(map(str, row[start : start + _NUMBERS_A_LINE]))
        for start in range(0, len(row), _NUMBERS_A_LINE)
    ]
    return "\n\t\t\t" + ",\n\t\t\t".join(lines) + "\n\t\t"
