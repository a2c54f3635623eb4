"""PTB-XL: published folds, SCP labels, reports; questions from labels on request.

    ecg-fairseq prepare ptb_xl RAW_DIR --out DIR --recipe ecg_byte --workers 8

RAW_DIR holds ptbxl_database.csv, scp_statements.csv and records500/. Folds 1-8 are train, 9 is
valid, 10 is test. Wagner et al., PTB-XL, Scientific Data 7, 154 (2020).
"""

import argparse
from dataclasses import replace
from pathlib import Path

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.options import add_split_option
from ecg_fairseq.records.datasets.ptb_xl_files import ID_COLUMNS, RATES, kept_records
from ecg_fairseq.records.datasets.ptb_xl_labels import add_label_set_option, ptb_xl_label_set
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.preparation.questions_from_labels import label_question_maker
from ecg_fairseq.records.preparation.raw_dataset import QuestionMaker, RawDataset, no_questions

RAW_HELP = "PTB-XL's folder (holds ptbxl_database.csv)"
SPLIT_RULES = ("strat_fold", "patient")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only this dataset has."""
    add_split_option(parser, SPLIT_RULES)
    parser.add_argument("--rate", type=int, choices=RATES, default=500, help="files to read, Hz")
    parser.add_argument(
        "--questions",
        choices=("none", "from-labels"),
        default="none",
        help="build template questions from the labels",
    )
    add_label_set_option(parser, default="superclass")


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    wants_questions = arguments.questions == "from-labels"
    return ptb_xl_dataset(
        arguments.raw_dir,
        arguments.rate,
        arguments.split,
        arguments.fraction,
        arguments.seed,
        label_question_maker() if wants_questions else no_questions,
        ptb_xl_label_set(arguments.raw_dir, arguments.label_set),
    )


def ptb_xl_dataset(
    folder: Path,
    rate: int = 500,
    split: str = "strat_fold",
    fraction: float = 1.0,
    seed: int = 0,
    make_questions: QuestionMaker = no_questions,
    label_set: LabelSet | None = None,
) -> RawDataset:
    """Return PTB-XL as a dataset.

    Args:
        split: ``strat_fold`` (published folds) or ``patient`` (80/10/10, seeded).
        fraction: share of the patients to keep.
        make_questions: see :mod:`ecg_fairseq.records.preparation.questions_from_labels`.
        label_set: see :mod:`ecg_fairseq.records.datasets.ptb_xl_labels`.

    Raises:
        ManifestError: a table is missing or damaged, or the split is unknown.
    """
    if split not in SPLIT_RULES:
        raise ManifestError(f"--split {split!r}; expected one of {', '.join(SPLIT_RULES)}")
    sources = kept_records(folder, rate, fraction, seed)
    if split == "patient":
        sources = [replace(source, split="") for source in sources]
    return RawDataset(
        "ptb_xl",
        sources,
        split,
        make_questions=make_questions,
        label_set=label_set,
        id_columns=ID_COLUMNS,
    )
