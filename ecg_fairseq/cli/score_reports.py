"""What ``ecg-fairseq score`` does about reports: its options, and the figures they ask for."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_fairseq.errors import ScoreError

if TYPE_CHECKING:
    from ecg_fairseq.evaluation.answers.predictions import Prediction
    from ecg_fairseq.records.manifest.folder import Manifest


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that concern reports."""
    parser.add_argument(
        "--report-types",
        metavar="TYPE,...",
        help="question types whose answers are reports (default: report)",
    )
    parser.add_argument(
        "--statements",
        metavar="READER",
        help="what reads the statements of reports: labeler (default), simulated for the wordings "
        "of `simulate`, or a folder of labeler tables",
    )
    parser.add_argument(
        "--embeddings",
        type=Path,
        metavar="X.npy",
        help="of `ecg-fairseq embed`: adds the floor of the nearest training report",
    )
    parser.add_argument(
        "--published-metrics",
        action="store_true",
        help="also the figures in the form that HeartLLM prints them",
    )


def report_figures(
    arguments: argparse.Namespace,
    predictions: "Sequence[Prediction]",
    manifest: "Manifest | None",
) -> dict[str, Any]:
    """Return ``reports`` and ``published_metrics`` of ``scores.json``, as far as there are any.

    Raises:
        ScoreError: an option concerns reports and no answer is one, or needs a manifest.
    """
    types = _report_types(arguments.report_types, predictions)
    reports = [item for item in predictions if item.question_type in types]
    if not reports and (arguments.statements or arguments.embeddings):
        raise ScoreError(
            f"no answer is a report: none has a question type of {', '.join(types)}; leave out "
            "--statements and --embeddings, or name the types with --report-types"
        )
    found: dict[str, Any] = {}
    if reports:
        found["reports"] = _scored(arguments, predictions, manifest, types)
    if arguments.published_metrics:
        found["published_metrics"] = _published(predictions, reports)
    return found


def _report_types(given: str | None, predictions: "Sequence[Prediction]") -> tuple[str, ...]:
    """Return the types whose answers are reports.

    Raises:
        ScoreError: none is named, or one that no answer is of.
    """
    from ecg_fairseq.records.questions.question import REPORT_TYPE

    if given is None:
        return (REPORT_TYPE,)
    known = sorted({item.question_type for item in predictions})
    types = tuple(name.strip() for name in given.split(",") if name.strip())
    unknown = [name for name in types if name not in known]
    if unknown or not types:
        named = ", ".join(unknown) or "any type"
        raise ScoreError(
            f"--report-types {given!r}: no answer is a report of {named}; the answers have the "
            f"types {', '.join(known)}"
        )
    return types


def format_report_figures(scores: dict[str, Any]) -> str:
    """Return them as text; empty where there are none."""
    from ecg_fairseq.evaluation.reports.table import (
        format_published_metrics,
        format_report_scores,
    )

    parts = []
    if "reports" in scores:
        parts.append(format_report_scores(scores["reports"]))
    if "published_metrics" in scores:
        parts.append(format_published_metrics(scores["published_metrics"]))
    return "".join(f"\n{part}\n" for part in parts)


def _scored(
    arguments: argparse.Namespace,
    predictions: "Sequence[Prediction]",
    manifest: "Manifest | None",
    types: tuple[str, ...],
) -> dict[str, Any] | None:
    from ecg_fairseq.evaluation.reports.known_reports import read_embeddings, training_reports
    from ecg_fairseq.evaluation.reports.scores import ReportScoring, score_reports
    from ecg_fairseq.evaluation.reports.statements import DEFAULT_READER

    if arguments.embeddings is not None and manifest is None:
        raise ScoreError(
            "--embeddings needs the manifest folder behind the answers: the nearest report is one "
            "of its training split"
        )
    how = ReportScoring(
        statements=arguments.statements or DEFAULT_READER,
        question_types=types,
        training=() if manifest is None else training_reports(manifest, types),
        embeddings=None if arguments.embeddings is None else read_embeddings(arguments.embeddings),
        num_resamples=arguments.resamples,
        seed=arguments.seed,
    )
    return score_reports(predictions, how)


def _published(
    predictions: "Sequence[Prediction]", reports: "Sequence[Prediction]"
) -> dict[str, Any]:
    from ecg_fairseq.evaluation.reports.published import (
        published_answer_accuracy,
        published_report_metrics,
    )

    texts = [item.answer for item in reports], [item.reference for item in reports]
    return {
        "form": "HeartLLM",
        "reports": published_report_metrics(*texts) if reports else None,
        "answer_accuracy": published_answer_accuracy(predictions),
    }
