"""Joins the label-question builder to the preparation: questions grouped by split."""

from collections.abc import Sequence
from typing import Any

from ecg_fairseq.records.preparation.raw_dataset import QuestionMaker, Questions
from ecg_fairseq.records.record_row import SPLITS, RecordRow

TEMPLATE_ONLY = ("template",)


def label_questions(
    rows: Sequence[RecordRow],
    seed: int,
    splits: Sequence[str] = SPLITS,
    question_types: Sequence[str] | None = None,
    styles: Sequence[str] = TEMPLATE_ONLY,
) -> Questions:
    """Return label-built questions per split.

    Args:
        rows: usable records; their splits decide where a question goes.
        splits: splits that are wanted.
        question_types: default: the single-ECG types.
        styles: wordings wanted.
    """
    from ecg_fairseq.records.questions.from_labels import SINGLE_TYPES, build_questions

    split_of = {row.record_id: row.split for row in rows}
    kept: Questions = {split: [] for split in splits}
    for style in styles:
        for question in build_questions(rows, seed, question_types or SINGLE_TYPES, style):
            split = split_of[question.record_ids[0]]
            if split in kept:
                kept[split].append(question)
    return kept


def label_question_maker(splits: Sequence[str] = SPLITS) -> QuestionMaker:
    """Return a question maker for a dataset that builds label questions on ``splits``."""

    def make(rows: Sequence[RecordRow], seed: int) -> tuple[Questions, dict[str, Any]]:
        return label_questions(rows, seed, splits), {}

    return make
