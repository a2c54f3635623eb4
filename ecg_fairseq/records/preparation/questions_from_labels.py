"""Joins the label-question builder to the preparation: questions grouped by side."""

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
    """Return label-built questions per side.

    Args:
        rows: usable records; their sides decide where a question goes.
        splits: sides that are wanted.
        question_types: default: the single-ECG types.
        styles: wordings wanted.
    """
    from ecg_fairseq.records.questions.from_labels import SINGLE_TYPES, build_questions

    side_of = {row.record_id: row.split for row in rows}
    kept: Questions = {split: [] for split in splits}
    for style in styles:
        for question in build_questions(rows, seed, question_types or SINGLE_TYPES, style):
            side = side_of[question.record_ids[0]]
            if side in kept:
                kept[side].append(question)
    return kept


def label_question_maker(splits: Sequence[str] = SPLITS) -> QuestionMaker:
    """Return a question maker for a dataset that builds label questions on ``splits``."""

    def make(rows: Sequence[RecordRow], seed: int) -> tuple[Questions, dict[str, Any]]:
        return label_questions(rows, seed, splits), {}

    return make
