"""HeartLLM's layout, and PTB-XL's own below ``ptb-xl``: question and report files with backgrounds.

As published: reports and questions split the recordings differently, neither follows PTB-XL's
folds, patient ids are numbers with a point, unknown heights and weights are written ``nan``.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.records.questions.from_labels import build_split_questions
from ecg_fairseq.records.questions.ptb_xl_statements import LabelledRecord
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.questions.templates import SINGLE_TYPES
from ecg_fairseq.records.record_row import SPLITS
from ecg_fairseq.records.simulated.cohort import CohortSettings, claim_folder
from ecg_fairseq.records.simulated.layouts.ptb_xl import write_layout as write_ptb_xl
from ecg_fairseq.records.simulated.plan import draw_case, plan_cohort
from ecg_fairseq.records.simulated.ptb_xl_tables import (
    database_row,
    labelled_record,
    simulated_report,
)
from ecg_fairseq.records.simulated.wfdb_files import write_file

_SHARES = (0.7, 0.15, 0.15)
_STREAM_QUESTIONS, _STREAM_REPORTS = 131, 132  # apart from the streams of simulated_cohort_plan
Row = dict[str, str]


def write_layout(folder: Path, settings: CohortSettings, workers: int = 1) -> dict[str, Any]:
    """Write PTB-XL's layout, then the files about it.

    Raises:
        EcgError: bad settings, a folder that holds something else, or a full disk.
    """
    folder = Path(folder)
    claim_folder(folder, "heartllm", settings)
    figures = write_ptb_xl(folder / "ptb-xl", settings, workers)
    cases = [
        draw_case(item, settings.seed)
        for item in plan_cohort(settings.patients, settings.seed, settings.difficulty)
    ]
    # HeartLLM's reports are English translations, whatever PTB-XL's own are.
    style = "plain" if settings.reports == "plain" else "english"
    rows = [database_row(case, simulated_report(case, settings.seed, style)) for case in cases]
    records = [labelled_record(case, row) for case, row in zip(cases, rows, strict=True)]
    questions = _write_questions(folder, records, rows, settings)
    reports = _write_reports(folder, rows, settings)
    return {**figures, "questions": questions, "reports": reports}


def _splits(rows: Sequence[Row], settings: CohortSettings, stream: int) -> list[str]:
    """Return a split for each recording, drawn by patient."""
    uniforms = np.random.default_rng([settings.seed, stream]).random(settings.patients)
    places = np.searchsorted(np.cumsum(_SHARES)[:-1], uniforms, side="right")
    return [SPLITS[int(places[int(float(row["patient_id"])) - 1])] for row in rows]


def _write_questions(
    folder: Path, records: Sequence[LabelledRecord], rows: Sequence[Row], settings: CohortSettings
) -> dict[str, int]:
    splits = _splits(rows, settings, _STREAM_QUESTIONS)
    placed = [replace(record, split=split) for record, split in zip(records, splits, strict=True)]
    types = [name for name in settings.question_types if name in SINGLE_TYPES]
    row_of = {row["ecg_id"]: row for row in rows}
    counts = {}
    for split, questions in build_split_questions(placed, settings.seed, types).items():
        entries = [_entry(number, item, row_of) for number, item in enumerate(questions)]
        _write_json(folder / f"dataset/ecgqa/ptbxl/template_{split}_background.json", entries)
        counts[split] = len(entries)
    return counts


def _entry(number: int, question: Question, row_of: dict[str, Row]) -> dict[str, Any]:
    row = row_of[question.record_ids[0]]
    return {
        "template_id": question.template_id,
        "question_id": question.template_id,
        "sample_id": number,
        "question_type": question.question_type,
        "attribute_type": question.attribute_type,
        "question": question.question,
        "answer": question.answer,
        "ecg_id": [int(row["ecg_id"])],
        "attribute": question.attribute,
        "ecg_path": row["filename_hr"],
        "background": _background(row),
    }


def _write_reports(folder: Path, rows: Sequence[Row], settings: CohortSettings) -> dict[str, int]:
    splits = _splits(rows, settings, _STREAM_REPORTS)
    counts = {}
    for split in SPLITS:
        entries = [
            {
                "patient_id": float(row["patient_id"]),
                "ecg_id": int(row["ecg_id"]),
                "report": row["report"],
                "filepath": row["filename_hr"],
                "background": _background(row),
            }
            for row, drawn in zip(rows, splits, strict=True)
            if drawn == split
        ]
        _write_json(folder / f"dataset/report/ptbxl/{split}.json", entries)
        counts[split] = len(entries)
    return counts


def _background(row: Row) -> str:
    def number(name: str) -> str:
        return row[name].removesuffix(".0") or "nan"

    person = [("Patient ID", "patient_id"), ("Age", "age"), ("Sex", "sex")]
    person += [("Height", "height"), ("Weight", "weight")]
    details = [f"- Recording Date: {row['recording_date']}", f"- Nurse ID: {number('nurse')}"]
    details += [f"- Site ID: {number('site')}", f"- Device ID: {row['device']}"]
    information = "; ".join(f"- {name}: {number(column)}" for name, column in person)
    return f"Patient Information: {information}; Recording Details: {'; '.join(details)}."


def _write_json(path: Path, entries: list[dict[str, Any]]) -> None:
    write_file(path, json.dumps(entries, indent=2) + "\n")
