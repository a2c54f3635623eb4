"""All figures of generated reports: words, statements, floors, intervals by patient.

Which predictions are reports is told by their ``question_type`` (``report``, or the types that are
named), which manifests and predictions files keep.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.answers.predictions import Prediction
from ecg_fairseq.evaluation.intervals import DEFAULT_RESAMPLES, bootstrap_interval
from ecg_fairseq.evaluation.reports.agreement import (
    BY_REPORT_METRIC,
    Agreement,
    compare_statements,
)
from ecg_fairseq.evaluation.reports.floors import (
    KnownReport,
    majority_report,
    nearest_reports,
    other_patient_reports,
)
from ecg_fairseq.evaluation.reports.patient_draws import patient_weights
from ecg_fairseq.evaluation.reports.statements import statement_reader
from ecg_fairseq.evaluation.reports.text import METEOR_MATCHING, ReportTexts, compare_texts
from ecg_fairseq.records.questions.question import REPORT_TYPE

_LEVEL = 0.95
# Above this share of references without a known statement a note says so.
_MANY_SILENT = 0.1
Draws = dict[str, np.ndarray]


@dataclass(frozen=True)
class ReportScoring:
    """How reports are scored.

    Attributes:
        statements: name of the function that reads statements (``statements.py``).
        question_types: the types of question that are reports.
        training: reports of the training split, for the floors.
        embeddings: record id -> (D,) embedding, for the floor ``nearest``.
        num_resamples, seed: of the bootstrap; the seed also chooses the other patients.
    """

    statements: str
    question_types: tuple[str, ...] = (REPORT_TYPE,)
    training: Sequence[KnownReport] = ()
    embeddings: Mapping[str, np.ndarray] | None = None
    num_resamples: int = DEFAULT_RESAMPLES
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Compared:
    """One text for each scored report, compared with the references."""

    texts: ReportTexts
    agreement: Agreement
    draws: Draws = field(default_factory=dict)

    def by_report(self) -> Draws:
        return {**self.texts.by_report, BY_REPORT_METRIC: self.agreement.f1_by_report()}

    def figures(self) -> dict[str, float | None]:
        return {**self.texts.figures(), **self.agreement.figures()}


def score_reports(predictions: Sequence[Prediction], how: ReportScoring) -> dict[str, Any] | None:
    """Return the figures of the reports among ``predictions``; None where there are none.

    Returns:
        ``n``, ``n_patients``, ``statements``, ``metrics``, ``intervals``, ``floors`` (each with
        ``metrics`` and ``difference_intervals``), ``by_statement``, ``definitions``, ``notes``.

    Raises:
        ScoreError: an embedding is missing, or the reader of statements is unknown.
    """
    reports = [item for item in predictions if item.question_type in how.question_types]
    if not reports:
        return None
    references = [report.reference for report in reports]
    read = statement_reader(how.statements)
    patients = [report.patient_ids for report in reports]

    def compared(texts: Sequence[str]) -> _Compared:
        agreement = compare_statements(texts, references, read)
        draws = _draws(agreement, patients, how)
        return _Compared(compare_texts(texts, references), agreement, draws)

    ours = compared([report.answer for report in reports])
    floors = {name: compared(texts) for name, texts in _floor_texts(reports, how).items()}
    return {
        "n": len(reports),
        "n_patients": len({name for names in patients for name in names}),
        "question_types": list(how.question_types),
        "statements": how.statements,
        "metrics": ours.figures(),
        "intervals": _intervals(ours, None, patients, how),
        "floors": {
            name: {
                "metrics": floor.figures(),
                "difference_intervals": _intervals(ours, floor, patients, how),
            }
            for name, floor in floors.items()
        },
        "by_statement": ours.agreement.by_statement(),
        "definitions": {
            "majority_of": "training reports" if how.training else "scored references",
            "meteor_matching": METEOR_MATCHING,
            "level": _LEVEL,
            "unit": "patient",
            "num_resamples": how.num_resamples,
            "seed": how.seed,
        },
        "notes": _notes(ours.agreement, floors),
    }


def _floor_texts(reports: Sequence[Prediction], how: ReportScoring) -> dict[str, list[str]]:
    """Return floor -> one text for each report; a floor that cannot be had is left out."""
    references = [report.reference for report in reports]
    patients = [report.patient_ids for report in reports]
    known = [report.text for report in how.training] or references
    floors = {"majority": [majority_report(known)] * len(reports)}
    others = other_patient_reports(
        [report.id for report in reports], patients, references, how.seed
    )
    if others is not None:
        floors["other_patient"] = others
    if how.embeddings is not None:
        floors["nearest"] = _nearest(reports, how.training, how.embeddings)
    return floors


def _nearest(
    reports: Sequence[Prediction],
    training: Sequence[KnownReport],
    embeddings: Mapping[str, np.ndarray],
) -> list[str]:
    known = [report for report in training if report.record_id in embeddings]
    if not known:
        raise ScoreError(
            f"none of the {len(training)} training reports is of a recording in the embeddings; "
            "give the manifest, and embed its splits train and the scored one"
        )
    for report in reports:
        if len(report.record_ids) != 1 or report.record_ids[0] not in embeddings:
            raise ScoreError(
                f"report {report.id!r} is about the recordings {list(report.record_ids)}; the "
                "nearest report needs one recording, whose embedding is in the file"
            )
    return nearest_reports(
        np.stack([embeddings[report.record_ids[0]] for report in reports]),
        [report.patient_ids for report in reports],
        np.stack([embeddings[report.record_id] for report in known]),
        known,
    )


def _draws(agreement: Agreement, patients: Sequence[Sequence[str]], how: ReportScoring) -> Draws:
    """Return metric -> float64 (R,): the pooled metrics in each draw of patients."""
    blocks = [
        agreement.weighted(weights)
        for weights in patient_weights(patients, how.num_resamples, how.seed)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _intervals(
    ours: _Compared,
    floor: _Compared | None,
    patients: Sequence[Sequence[str]],
    how: ReportScoring,
) -> dict[str, list[float] | None]:
    """Return the interval of each metric, or of its difference to a floor; None for one patient.

    Corpus BLEU has none: it is no mean, and its parts are sacrebleu's own.
    """
    if len({name for names in patients for name in names}) < 2:
        return dict.fromkeys([*ours.by_report(), *ours.draws])
    found: dict[str, list[float] | None] = {}
    theirs = {} if floor is None else floor.by_report()
    for name, values in ours.by_report().items():
        low, high = bootstrap_interval(
            values - theirs.get(name, 0.0),
            patients,
            num_resamples=how.num_resamples,
            level=_LEVEL,
            seed=how.seed,
        )
        found[name] = None if math.isnan(low) else [low, high]
    for name, values in ours.draws.items():
        differences = values if floor is None else values - floor.draws[name]
        kept = differences[~np.isnan(differences)]
        tails = np.quantile(kept, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]) if len(kept) else None
        found[name] = None if tails is None else [float(tail) for tail in tails]
    return found


def _notes(agreement: Agreement, floors: Mapping[str, _Compared]) -> list[str]:
    """Return sentences that a reader must see beside the figures."""
    notes = []
    silent, total = agreement.num_silent_references, agreement.reference.shape[0]
    if silent > _MANY_SILENT * total:
        notes.append(
            f"{silent} of {total} reference reports make no statement that the reader of "
            "statements knows; the clinical figures say little about them."
        )
    if "other_patient" not in floors:
        notes.append("There is one patient: no other patient's report can serve as a floor.")
    if "nearest" not in floors:
        notes.append("No floor by retrieval: give --embeddings (from `ecg-fairseq embed`).")
    return notes
