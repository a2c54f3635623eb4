"""UK Biobank's resting ECGs (field 20205) -> manifest: a folder of EID_20205_INSTANCE_ARRAY.xml.

    python manifests/uk_biobank.py XML_DIR --participants outcomes.csv --out DIR \\
        --recipe dual_attention --waveform median

The table of participants has a column eid; its columns of 0 and 1 make labels/y.npy.
"""

import argparse
import sys
from pathlib import Path

from ecg_fairseq.records.datasets.uk_biobank import SPLIT_RULES, UkBiobankChoice, uk_biobank_dataset
from ecg_fairseq.records.preparation.command_line import manifest_parser, run_manifest_script
from ecg_fairseq.records.preparation.raw_dataset import RawDataset
from ecg_fairseq.records.readers.cardiosoft_xml import WAVEFORMS


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = manifest_parser(__doc__, "folder of XML files, searched with all its subfolders")
    parser.add_argument(
        "--waveform",
        choices=tuple(WAVEFORMS),
        default="rhythm",
        help="the recording of ten seconds, or the device's median beat",
    )
    parser.add_argument(
        "--instance",
        type=int,
        action="append",
        default=[],
        help="only this visit (2 is the first imaging visit); may be given several times",
    )
    parser.add_argument(
        "--participants", type=Path, metavar="CSV", help="outcomes and labels: eid, split, age ..."
    )
    parser.add_argument(
        "--only-listed", action="store_true", help="leave out ECGs of participants not in the table"
    )
    parser.add_argument(
        "--split", choices=SPLIT_RULES, default="patient", help="draw sides, or read column split"
    )
    return parser


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    choice = UkBiobankChoice(
        arguments.waveform,
        tuple(arguments.instance),
        arguments.participants,
        arguments.only_listed,
        arguments.split,
        arguments.fraction,
        arguments.seed,
    )
    return uk_biobank_dataset(arguments.raw_dir, choice)


if __name__ == "__main__":
    sys.exit(run_manifest_script(build_parser(), make_dataset))
