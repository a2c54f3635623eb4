"""Simulate two visits of healthy patients who differ in nothing but their anatomy.

Every recording is of a healthy heart; heart rate, noise and the levels of all nuisances are drawn
anew at each visit, so a patient can be recognised by torso and heart alone. (In the cohort of
``ecg-fairseq simulate`` chronic findings stay with a patient.)
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import atomic_write
from ecg_fairseq.records.record_row import SPLITS
from ecg_fairseq.signal.simulator import (
    derive_findings,
    draw_anatomy,
    draw_nuisance,
    simulate_recording,
)
from ecg_fairseq.signal.simulator.findings import CHOICES

FS_HZ = 500
VISITS = 2
_NUM_SAMPLES = 5000
# Streams of their own: nobody here is a patient of a simulated cohort of the same seed.
_STREAM_PATIENT, _STREAM_VISIT = 101, 102


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--out", type=Path, required=True, help="folder for ecgs.npy, people.csv")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--people", required=True, help="patients to train, validate and test on: 1000,60,220"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the array and the table that ``manifests/own_data.py`` reads."""
    counts = [int(text) for text in arguments.people.split(",") if text.isdecimal()]
    if len(counts) != len(SPLITS):
        raise EcgError(f"--people {arguments.people}; expected three numbers as in 1000,60,220")
    splits = [split for split, count in zip(SPLITS, counts, strict=True) for _ in range(count)]
    signals = np.empty((len(splits) * VISITS, 12, _NUM_SAMPLES), dtype=np.float32)
    for patient in range(len(splits)):
        for visit in range(VISITS):
            signals[patient * VISITS + visit] = recording_of(patient, visit, arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with atomic_write(arguments.out / "ecgs.npy", "wb") as stream:
        np.save(stream, signals)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("record_id", "patient_id", "split"))
    for patient, split in enumerate(splits):
        writer.writerows((f"{patient}_{visit}", patient, split) for visit in range(VISITS))
    with atomic_write(arguments.out / "people.csv") as stream:
        stream.write(table.getvalue())
    print(f"{len(splits)} people, {len(signals)} recordings")


def recording_of(patient: int, visit: int, seed: int) -> np.ndarray:
    """Return one recording, float32 (12, T) in mV.

    Args:
        patient: decides the anatomy alone.
        visit: with the patient, decides all the rest.
        seed: of the patients.
    """
    anatomy = draw_anatomy(np.random.default_rng([seed, _STREAM_PATIENT, patient]))
    random = np.random.default_rng([seed, _STREAM_VISIT, patient, visit])
    uniforms = random.random(len(CHOICES))
    uniforms[CHOICES.index("healthy")] = 0.0
    nuisance = draw_nuisance(random)
    return simulate_recording(derive_findings(uniforms), anatomy, nuisance, FS_HZ, random).signal
