"""Asks every recording that has a written report for it: questions of type ``report``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ecg_fairseq.records.preparation.raw_dataset import Questions, RawDataset
from ecg_fairseq.records.questions.question import (
    REPORT_QUESTION,
    REPORT_TEMPLATE,
    REPORT_TYPE,
    Question,
    canonical_answer,
)
from ecg_fairseq.records.record_row import SPLITS, RecordRow, one_line


def with_report_questions(raw_dataset: RawDataset) -> RawDataset:
    """Return the dataset with a question for each report, behind the questions that it has.

    A recording whose report is asked for already (HeartLLM's files do) is not asked twice. How many
    were asked, and how many recordings have no report, is in the notes.
    """

    def make(rows: Sequence[RecordRow], seed: int) -> tuple[Questions, dict[str, Any]]:
        made, notes = raw_dataset.make_questions(rows, seed)
        questions = {split: list(made.get(split, ())) for split in SPLITS}
        asked = {
            question.record_ids[0]
            for members in questions.values()
            for question in members
            if question.question_type == REPORT_TYPE
        }
        placed = [row for row in rows if row.split in SPLITS]
        added = [row for row in placed if row.report.strip() and row.record_id not in asked]
        for row in added:
            questions[row.split].append(_question(row))
        counts = {
            "asked": len(added),
            "records_without_report": sum(not row.report.strip() for row in placed),
        }
        return questions, {**notes, "report_questions": counts}

    return replace(raw_dataset, make_questions=make)


def _question(row: RecordRow) -> Question:
    return Question(
        id=f"report-{row.record_id}",
        question=REPORT_QUESTION,
        answer=canonical_answer([one_line(row.report)]),
        question_type=REPORT_TYPE,
        template_id=REPORT_TEMPLATE,
        record_ids=[row.record_id],
        patient_ids=[row.patient_id],
        origin="reports",
    )
