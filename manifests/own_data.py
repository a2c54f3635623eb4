"""Your own recordings -> manifest: one .npy array (N, L, T) or a folder of records, and CSVs.

    python manifests/own_data.py ecgs.npy --fs 500 --labels labels.csv --questions qa.csv \\
        --out DIR --recipe ecg_byte

Records of one patient must share a patient_id in the labels table; otherwise each record counts as
its own patient, and the manifest says so. In a folder every recording of a known format is taken:
WFDB (the PhysioNet challenge's .mat too), fairseq-signals .mat, CODE-15% .hdf5, MUSE and CardioSoft
XML, DICOM, and .npy or .csv arrays with a .json sidecar. Columns of 0 and 1 in the labels table
become labels/y.npy.
"""

import argparse
import sys
from pathlib import Path

from ecg_fairseq.records.datasets.own_data import SPLIT_RULES, OwnData, own_dataset
from ecg_fairseq.records.preparation.command_line import manifest_parser, run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "a .npy array (N, L, T), or a folder of records")
    parser.add_argument("--leads", help="leads of the array, comma-separated (default: the twelve)")
    parser.add_argument("--fs", type=float, help="sampling rate of the array in Hz")
    parser.add_argument("--unit", default="mV", help="unit of the array: mV, uV or V (default mV)")
    parser.add_argument("--labels", type=Path, help="CSV: record_id, patient_id, labels ...")
    parser.add_argument("--questions", type=Path, help="CSV: record_id, question, answer ...")
    parser.add_argument(
        "--split", choices=SPLIT_RULES, default="patient", help="draw sides, or read column split"
    )
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    return own_dataset(
        OwnData(
            path=arguments.raw_dir,
            leads=arguments.leads,
            fs_hz=arguments.fs,
            unit=arguments.unit,
            labels=arguments.labels,
            questions=arguments.questions,
            split=arguments.split,
            fraction=arguments.fraction,
            seed=arguments.seed,
        )
    )


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
