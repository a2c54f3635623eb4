"""ECG-QA on PTB-XL or MIMIC-IV-ECG: question files become questions of a manifest, without leaks.

    ecg-fairseq prepare ecg_qa ECG_QA_DIR --ptb-xl DIR --out DIR --recipe ecg_byte
    ecg-fairseq prepare ecg_qa ECG_QA_DIR --mimic-iv-ecg DIR --out DIR --recipe ecg_byte

ECG-QA's own mapping step is not needed: recordings are found through ptbxl_database.csv or
record_list.csv. Its split does not follow PTB-XL's folds, so one of the two must give way:
``ecg-qa`` keeps the published questions and drops records whose patient stands in an earlier split;
``ptb-xl`` keeps the folds and the questions whose recordings all lie in the split that the question
was published for. MIMIC-IV-ECG has no folds, so there is only ``ecg-qa``. Oh et al., ECG-QA,
NeurIPS 2023 (arXiv 2306.15681); layout in fact sheet heartllm 9.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.ecg_qa_files import (
    MIMIC_IV_ECG,
    PTB_XL,
    QUESTION_TYPES,
    SINGLE_TYPES,
    SPLIT_RULES,
    STYLE_CHOICES,
    EcgQaChoice,
    EcgQaVersion,
    parse_question_types,
    question_folder,
    read_questions,
)
from ecg_fairseq.records.datasets.mimic_iv_ecg import ID_COLUMNS as MIMIC_ID_COLUMNS
from ecg_fairseq.records.datasets.mimic_iv_ecg import read_mimic_iv_ecg
from ecg_fairseq.records.datasets.options import add_split_option, choice_from
from ecg_fairseq.records.datasets.ptb_xl_files import ID_COLUMNS, kept_records
from ecg_fairseq.records.datasets.ptb_xl_or_mimic import add_recordings_options, recordings_dataset
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.manifest.splits import SPLIT_ORDER
from ecg_fairseq.records.preparation.questions_from_labels import label_questions
from ecg_fairseq.records.preparation.raw_dataset import Questions, RawDataset
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.record_row import SPLITS, RecordRow
from ecg_fairseq.records.source_record import SourceRecord

__all__ = [
    "QUESTION_TYPES",
    "SINGLE_TYPES",
    "EcgQaChoice",
    "add_options",
    "ecg_qa_dataset",
    "ecg_qa_mimic_dataset",
    "make_dataset",
    "place_questions",
]
RAW_HELP = "ECG-QA's folder (holds ecgqa)"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only this dataset has."""
    add_recordings_options(parser)
    parser.add_argument("--style", choices=STYLE_CHOICES, default="template", help="wording")
    parser.add_argument(
        "--question-types", default=",".join(SINGLE_TYPES), help="comma-separated, or all"
    )
    text = "whose splits count; ptb-xl keeps only questions whose ECGs are all in their split"
    add_split_option(parser, SPLIT_RULES, text)
    parser.add_argument("--label-questions", action="store_true", help="add label-built questions")
    parser.add_argument(
        "--label-questions-for", default="train,valid,test", help="splits that get them"
    )


def make_dataset(arguments: argparse.Namespace) -> RawDataset:
    """Return the dataset the arguments ask for."""
    wanted = arguments.label_questions_for if arguments.label_questions else ""
    choice = choice_from(
        EcgQaChoice,
        arguments,
        question_types=parse_question_types(arguments.question_types),
        label_splits=tuple(filter(None, wanted.split(","))),
    )
    folder = arguments.raw_dir
    return recordings_dataset(
        arguments,
        lambda ptb_xl, rate, labels: ecg_qa_dataset(folder, ptb_xl, choice, rate, labels),
        lambda mimic, patients: ecg_qa_mimic_dataset(folder, mimic, choice, patients),
    )


def ecg_qa_dataset(
    folder: Path,
    ptb_xl: Path,
    choice: EcgQaChoice,
    rate: int = 500,
    label_set: LabelSet | None = None,
) -> RawDataset:
    """Return PTB-XL's recordings with ECG-QA's questions as a dataset.

    Args:
        folder: ECG-QA's folder (holds ``ecgqa/ptbxl``).
        ptb_xl: PTB-XL's folder.
        choice: which questions, by whose split.
        rate: 500 or 100; which of the two files of a record is meant.
        label_set: see :mod:`ecg_fairseq.records.datasets.ptb_xl_labels`.

    Raises:
        ManifestError: a folder is missing or damaged, or no question is left.
    """
    choice.check()
    sources = kept_records(ptb_xl, rate, choice.fraction, choice.seed)
    parts = _asked_about(folder, PTB_XL, ptb_xl, sources, choice)
    return RawDataset("ecg_qa_ptbxl", label_set=label_set, id_columns=ID_COLUMNS, **parts)


def ecg_qa_mimic_dataset(
    folder: Path, mimic: Path, choice: EcgQaChoice, patients: Path | None = None
) -> RawDataset:
    """Return MIMIC-IV-ECG's recordings with ECG-QA's questions as a dataset.

    Args:
        folder: ECG-QA's folder (holds ``ecgqa/mimic-iv-ecg``).
        mimic: MIMIC-IV-ECG's folder (holds ``record_list.csv``).
        choice: which questions.
        patients: MIMIC-IV's ``patients.csv``, for sex and age.

    Raises:
        ManifestError: a folder is missing or damaged, no question is left, or the choice needs
            what only PTB-XL has.
    """
    choice.check()
    if choice.split != "ecg-qa" or choice.label_splits:
        raise ManifestError(
            "MIMIC-IV-ECG has neither published folds nor statements to ask about; leave out "
            "--split ptb-xl and --label-questions"
        )
    sources = read_mimic_iv_ecg(mimic, patients, choice.fraction, choice.seed)
    parts = _asked_about(folder, MIMIC_IV_ECG, mimic, sources, choice)
    return RawDataset("ecg_qa_mimic_iv_ecg", id_columns=MIMIC_ID_COLUMNS, **parts)


def _asked_about(
    folder: Path,
    version: EcgQaVersion,
    raw: Path,
    sources: list[SourceRecord],
    choice: EcgQaChoice,
) -> dict[str, Any]:
    """Return a dataset's parts: the recordings with their splits, and what makes the questions."""
    questions, dropped = read_questions(folder, choice, version)
    asked = {record_id for _, question in questions for record_id in question.record_ids}
    if choice.split == "ecg-qa":
        splits = _published_splits(question_folder(folder, version), questions)
        sources = [
            replace(source, split=splits[source.record_id])
            for source in sources
            if source.record_id in splits
        ]
    if not choice.label_splits:
        sources = [source for source in sources if source.record_id in asked]
    if not sources:
        raise ManifestError(
            f"none of the {len(asked)} recordings that the questions ask about is in {raw}"
        )

    def make_questions(rows: Sequence[RecordRow], seed: int) -> tuple[Questions, dict[str, Any]]:
        kept, reasons = place_questions(questions, rows)
        if choice.label_splits:
            built = label_questions(
                rows, seed, choice.label_splits, choice.question_types, choice.styles
            )
            for split, more in built.items():
                kept[split].extend(more)
        return kept, {"questions_dropped": dict(sorted((dropped + reasons).items()))}

    return {
        "sources": sources,
        "split_rule": choice.split,
        "straddle": "drop" if choice.split == "ecg-qa" else "move",
        "make_questions": make_questions,
        "notes": {"questions_from": _description(choice)},
    }


def _description(choice: EcgQaChoice) -> dict[str, Any]:
    return {
        "style": choice.style,
        "question_types": list(choice.question_types),
        "label_questions_for": list(choice.label_splits),
    }


def _published_splits(root: Path, questions: Sequence[tuple[str, Question]]) -> dict[str, str]:
    """Return record id -> split, from the published lists, else from where it is asked about."""
    splits: dict[str, str] = {}
    for split in SPLITS:
        path = root / f"{split}_ecgs.tsv"
        if path.is_file():
            try:
                lines = path.read_text(encoding="utf-8").split("\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ManifestError(f"{path} cannot be read: {error}") from error
            for line in filter(None, map(str.strip, lines)):
                splits.setdefault(line.rpartition("\t")[2], split)
    for split, question in sorted(questions, key=lambda item: SPLIT_ORDER[item[0]]):
        for record_id in question.record_ids:
            splits.setdefault(record_id, split)
    return splits


def place_questions(
    questions: Sequence[tuple[str, Question]], rows: Sequence[RecordRow]
) -> tuple[Questions, Counter]:
    """Keep the questions whose recordings all lie in the split they were published for.

    Args:
        questions: (published split, question) pairs.
        rows: usable records with their splits.

    Returns:
        Questions per split with patient ids filled in, and how many were dropped why.
    """
    by_id = {row.record_id: row for row in rows}
    kept: Questions = {split: [] for split in SPLITS}
    dropped: Counter = Counter()
    for published, question in questions:
        found = [by_id[name] for name in question.record_ids if name in by_id]
        splits = {row.split for row in found}
        if len(found) < len(question.record_ids):
            dropped["recording not available or dropped"] += 1
        elif len(splits) > 1:
            dropped["recordings on two sides"] += 1
        elif splits != {published}:
            dropped[f"published for {published}, recording on {splits.pop()}"] += 1
        else:
            patients = [row.patient_id for row in found]
            kept[published].append(replace(question, patient_ids=patients))
    return kept, dropped
