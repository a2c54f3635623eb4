"""Who is in a simulated cohort: patients, visits, folds, findings and nuisances.

Each patient and each visit has a random generator of its own, keyed by (seed, stream, patient,
visit): a record depends on the seed and its number only, never on workers or cohort size, and a
larger cohort with the same seed begins with the smaller one.
"""

import datetime
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.signal.simulator import (
    Anatomy,
    Findings,
    Nuisance,
    Recording,
    derive_findings,
    draw_anatomy,
    draw_nuisance,
    simulate_recording,
)
from ecg_fairseq.signal.simulator.difficulty import difficulty_of
from ecg_fairseq.signal.simulator.findings import CHOICES, CHRONIC

NUM_FOLDS = 10
MAX_VISITS = 3
_VISIT_SHARES = (0.45, 0.35, 0.20)  # of patients with one, two and three recordings
_CHRONIC_KEPT = 0.6  # chance that a chronic finding is the patient's own, not drawn anew
_STREAM_COHORT, _STREAM_FOLDS, _STREAM_PATIENT, _STREAM_VISIT, _STREAM_SIGNAL = range(1, 6)
_DEVICES = ("SIM-12 A", "SIM-12 B", "SIM-12 C")
_FIRST_DAY = datetime.datetime(1990, 1, 1, 8)
_DAYS = 3000


@dataclass(frozen=True)
class PlannedRecord:
    """One recording's place in the cohort; all numbers start at 1, visits at 0.

    ``difficulty`` is the cohort's, by name.
    """

    ecg_id: int
    patient: int
    visit: int
    fold: int
    difficulty: str = "standard"

    @property
    def split(self) -> str:
        """Folds 1 to 8 train, 9 valid, 10 test, as published for PTB-XL."""
        return {9: "valid", 10: "test"}.get(self.fold, "train")


@dataclass(frozen=True)
class Person:
    """A patient at one visit; nothing here depends on the findings.

    Attributes:
        sex: 0 male, 1 female, as in PTB-XL.
        height_cm, weight_kg: None if nobody wrote them down.
    """

    age: int
    sex: int
    height_cm: int | None
    weight_kg: int | None
    site: int
    nurse: int
    device: str
    recorded: datetime.datetime


@dataclass(frozen=True)
class SimulatedCase:
    """Everything that decides one recording."""

    planned: PlannedRecord
    findings: Findings
    anatomy: Anatomy
    nuisance: Nuisance
    person: Person


def plan_cohort(num_patients: int, seed: int, difficulty: str = "standard") -> list[PlannedRecord]:
    """List the recordings of a cohort, patient by patient, in order of time."""
    uniforms = np.random.default_rng([seed, _STREAM_COHORT]).random(num_patients)
    visits = 1 + np.searchsorted(np.cumsum(_VISIT_SHARES)[:-1], uniforms, side="right")
    blocks = -(-num_patients // NUM_FOLDS)
    # Each ten patients in a row take the ten folds in an order of their own.
    keys = np.random.default_rng([seed, _STREAM_FOLDS]).random((blocks, NUM_FOLDS))
    folds = 1 + np.argsort(keys, axis=1).ravel()
    planned: list[PlannedRecord] = []
    for patient in range(1, num_patients + 1):
        for visit in range(int(visits[patient - 1])):
            fold = int(folds[patient - 1])
            planned.append(PlannedRecord(len(planned) + 1, patient, visit, fold, difficulty))
    return planned


def draw_case(planned: PlannedRecord, seed: int) -> SimulatedCase:
    """Draw patient, findings and nuisances of one recording."""
    patient_random = np.random.default_rng([seed, _STREAM_PATIENT, planned.patient])
    anatomy = draw_anatomy(patient_random)
    own = patient_random.random(len(CHOICES))
    visit_key = [seed, _STREAM_VISIT, planned.patient, planned.visit]
    visit_random = np.random.default_rng(visit_key)
    uniforms = visit_random.random(len(CHOICES))
    kept = visit_random.random(len(CHRONIC)) < _CHRONIC_KEPT
    uniforms[: len(CHRONIC)] = np.where(kept, own[: len(CHRONIC)], uniforms[: len(CHRONIC)])
    person = _draw_person(planned.visit, patient_random, visit_random)
    nuisance = draw_nuisance(visit_random)
    return SimulatedCase(planned, derive_findings(uniforms), anatomy, nuisance, person)


def _draw_person(
    visit: int, patient_random: np.random.Generator, visit_random: np.random.Generator
) -> Person:
    age = int(np.clip(patient_random.normal(57.0, 17.0), 18, 85))
    sex = int(patient_random.random() < 0.48)
    height = int(np.clip(patient_random.normal(174.0 - 12.0 * sex, 7.0), 145, 205))
    weight = int(np.clip(patient_random.normal(78.0 - 10.0 * sex, 12.0), 40, 140))
    measured = patient_random.random() < 0.5
    day = patient_random.integers(0, _DAYS, MAX_VISITS)
    days = int(np.sort(day)[visit])
    seconds = int(visit_random.integers(0, 8 * 3600))
    return Person(
        age=age + (days - int(day.min())) // 365,
        sex=sex,
        height_cm=height if measured else None,
        weight_kg=weight if measured else None,
        site=int(visit_random.integers(0, 4)),
        nurse=int(visit_random.integers(0, 12)),
        device=_DEVICES[int(visit_random.integers(len(_DEVICES)))],
        recorded=_FIRST_DAY + datetime.timedelta(days=days, seconds=seconds),
    )


def simulate_case(case: SimulatedCase, seed: int, fs_hz: float) -> Recording:
    """Simulate the recording of one case."""
    key = [seed, _STREAM_SIGNAL, case.planned.patient, case.planned.visit]
    random = np.random.default_rng(key)
    return simulate_recording(
        case.findings,
        case.anatomy,
        case.nuisance,
        fs_hz,
        random,
        difficulty=difficulty_of(case.planned.difficulty),
    )
