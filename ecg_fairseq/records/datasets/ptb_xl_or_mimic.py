"""Datasets over the recordings of another one: PTB-XL's or MIMIC-IV-ECG's, as options say."""

import argparse
from collections.abc import Callable
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.mimic_iv_ecg import add_patients_option
from ecg_fairseq.records.datasets.ptb_xl_files import RATES
from ecg_fairseq.records.datasets.ptb_xl_labels import (
    NO_LABELS,
    add_label_set_option,
    ptb_xl_label_set,
)
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.preparation.raw_dataset import RawDataset

# Called with PTB-XL's folder, the rate of the files, and the label set.
OfPtbXl = Callable[[Path, int, LabelSet | None], RawDataset]
# Called with MIMIC-IV-ECG's folder and MIMIC-IV's table of patients.
OfMimic = Callable[[Path, Path | None], RawDataset]


def add_recordings_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that :func:`recordings_dataset` reads."""
    recordings = parser.add_mutually_exclusive_group(required=True)
    recordings.add_argument("--ptb-xl", type=Path, metavar="DIR", help="PTB-XL's folder")
    recordings.add_argument(
        "--mimic-iv-ecg", type=Path, metavar="DIR", help="MIMIC-IV-ECG's folder"
    )
    parser.add_argument(
        "--rate", type=int, choices=RATES, default=500, help="PTB-XL's files to read, Hz"
    )
    add_patients_option(parser)
    add_label_set_option(parser, default=NO_LABELS)


def recordings_dataset(
    arguments: argparse.Namespace, of_ptb_xl: OfPtbXl, of_mimic: OfMimic
) -> RawDataset:
    """Return the dataset over the recordings that the arguments name.

    Raises:
        ManifestError: an option of the other dataset is given; see the dataset's function.
    """
    if arguments.mimic_iv_ecg:
        if arguments.label_set != NO_LABELS:
            raise ManifestError("--label-set names PTB-XL's labels; give --label-table for MIMIC")
        return of_mimic(arguments.mimic_iv_ecg, arguments.patients)
    if arguments.patients:
        raise ManifestError("--patients goes with --mimic-iv-ecg; PTB-XL has sex and age itself")
    label_set = ptb_xl_label_set(arguments.ptb_xl, arguments.label_set)
    return of_ptb_xl(arguments.ptb_xl, arguments.rate, label_set)
