"""Keep the labels of a share of the training patients; the others become unlabelled.

The patients are those that ``ecg-fairseq probe`` draws with the same seed. Validation and test
stay labelled.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

from ecg_fairseq.evaluation.labels.linear_probe import drawn_patients
from ecg_fairseq.files import atomic_write
from ecg_fairseq.records.labels.label_files import (
    DEFINITION_FILE,
    LABEL_FOLDER,
    MATRIX_FILE,
    read_label_files,
)
from ecg_fairseq.records.manifest.folder import Manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--fraction", type=float, required=True, help="of the training patients")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="folder for y.npy")


def run(arguments: argparse.Namespace) -> None:
    """Write ``y.npy`` and ``label_def.csv``."""
    labels = arguments.manifest / LABEL_FOLDER
    _, values = read_label_files(labels)
    rows = list(Manifest.load(arguments.manifest).records.values())
    is_train = np.array([row.split == "train" for row in rows])
    patients = np.array([row.patient_id for row in rows], dtype=object)
    labelled = is_train & ~np.isnan(values).all(axis=1)
    drawn = drawn_patients(patients[labelled], arguments.fraction, arguments.seed)
    left_out = is_train & np.array([name not in drawn for name in patients])
    values[left_out] = np.nan
    with atomic_write(arguments.out / MATRIX_FILE, "wb") as stream:
        np.save(stream, values)
    shutil.copy(labels / DEFINITION_FILE, arguments.out / DEFINITION_FILE)
    kept = int((labelled & ~left_out).sum())
    print(f"{len(drawn)} patients with {kept} recordings keep their labels")
