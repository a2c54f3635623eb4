"""``ecg-fairseq score``: predictions, scores, floors and intervals from generated answers."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_fairseq.cli.score_reports import (
    add_report_options,
    format_report_figures,
    report_figures,
)
from ecg_fairseq.files import write_json

if TYPE_CHECKING:
    from ecg_fairseq.records.manifest.folder import Manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument(
        "answers", type=Path, help="fairseq-generate's generate-SUBSET.txt, or a predictions.jsonl"
    )
    parser.add_argument(
        "manifest",
        type=Path,
        nargs="?",
        help="manifest folder that was answered (not needed for a predictions.jsonl)",
    )
    parser.add_argument(
        "--blind", type=Path, help="the same file of a blind run (another patient's ECGs)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for predictions.jsonl and scores.json (default: beside the answers)",
    )
    parser.add_argument("--subset", default="test", help="split that was answered")
    parser.add_argument(
        "--resamples", type=_positive, default=2000, help="bootstrap draws for the intervals"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument(
        "--bertscore",
        metavar="MODEL",
        help="also BERTScore with this encoder (name or local folder; needs bert-score)",
    )
    add_report_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score the answers; print a table and write the files."""
    from ecg_fairseq.evaluation.answers.prediction_file import read_answers
    from ecg_fairseq.evaluation.answers.predictions import PREDICTIONS_FILE, write_predictions
    from ecg_fairseq.evaluation.answers.score_table import format_scores
    from ecg_fairseq.evaluation.answers.scores import SIMULATED_NOTE, score_predictions
    from ecg_fairseq.evaluation.answers.text_metrics import mean_bert_score

    manifest = _open_manifest(arguments.manifest)
    questions = None if manifest is None else manifest.questions(arguments.subset)
    predictions = read_answers(arguments.answers, questions, is_blind=False)
    blind = None
    if arguments.blind is not None:
        blind = read_answers(arguments.blind, questions, is_blind=True)
    scores = score_predictions(
        predictions, blind, num_resamples=arguments.resamples, seed=arguments.seed
    )
    if arguments.bertscore is not None:
        texts = [p.answer for p in predictions], [p.reference for p in predictions]
        scores.update(mean_bert_score(*texts, model=arguments.bertscore))
    scores = {"subset": arguments.subset, **scores, **_provenance(manifest)}
    if scores.get("simulated"):
        scores["warnings"] = [SIMULATED_NOTE, *scores["warnings"]]
    scores |= report_figures(arguments, predictions, manifest)
    folder = arguments.answers.parent if arguments.out is None else arguments.out
    write_predictions(folder / PREDICTIONS_FILE, predictions)
    if blind is not None:
        write_predictions(folder / "blind_predictions.jsonl", blind)
    write_json(folder / "scores.json", scores)
    print(format_scores(scores) + format_report_figures(scores))
    print(f"wrote {folder / 'scores.json'}", file=sys.stderr)
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _open_manifest(path: Path | None) -> "Manifest | None":
    if path is None:
        return None
    from ecg_fairseq.records.manifest.folder import Manifest

    return Manifest.load(path)


def _provenance(manifest: "Manifest | None") -> dict[str, Any]:
    """Return which data the figures belong to."""
    if manifest is None:
        return {}
    from ecg_fairseq.records.manifest.store import prepared_sha256

    meta = manifest.meta
    return {
        "dataset": meta.get("dataset"),
        "recipe": meta["recipe"].get("name"),
        "split_hash": manifest.split_hash,
        "data_sha256": meta.get("data_sha256"),
        "prepared_sha256": prepared_sha256(meta),
        **({"simulated": True} if meta.get("simulated") is True else {}),
    }
