"""``ecg-fairseq score``: predictions, scores, floors and intervals from generated answers."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_fairseq.cli.score_files import ScoreFiles
from ecg_fairseq.cli.score_reports import (
    add_report_options,
    format_report_figures,
    report_figures,
)
from ecg_fairseq.errors import ScoreError

if TYPE_CHECKING:
    from ecg_fairseq.records.manifest.folder import Manifest


DEFAULT_SUBSET = "test"


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
        help="folder for predictions.jsonl and scores.json (default: beside the answers; of a "
        "predictions file X.jsonl they are then X_predictions.jsonl and X_scores.json)",
    )
    parser.add_argument(
        "--subset", help=f"of the manifest, that was answered (default: {DEFAULT_SUBSET})"
    )
    parser.add_argument(
        "--resamples", type=_positive, default=2000, help="bootstrap draws for the intervals"
    )
    parser.add_argument("--seed", type=_seed, default=0, help="seed of the bootstrap")
    parser.add_argument(
        "--bertscore",
        metavar="MODEL",
        help="also BERTScore with this encoder (name or local folder; needs bert-score)",
    )
    add_report_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score the answers; print a table and write the files."""
    from ecg_fairseq.evaluation.answers.prediction_file import read_answers
    from ecg_fairseq.evaluation.answers.score_table import format_scores
    from ecg_fairseq.evaluation.answers.scores import SIMULATED_NOTE, score_predictions
    from ecg_fairseq.evaluation.answers.text_metrics import mean_bert_score

    manifest, subset = _open_manifest(arguments.manifest, arguments.subset)
    questions = None if manifest is None else manifest.questions(subset)
    predictions = read_answers(arguments.answers, questions, is_blind=False)
    blind = None
    if arguments.blind is not None:
        blind = read_answers(arguments.blind, questions, is_blind=True)
    files = ScoreFiles.of(arguments.answers, arguments.out)
    files.refuse_others(predictions, blind)
    scores = score_predictions(
        predictions, blind, num_resamples=arguments.resamples, seed=arguments.seed
    )
    if arguments.bertscore is not None:
        texts = [p.answer for p in predictions], [p.reference for p in predictions]
        scores.update(mean_bert_score(*texts, model=arguments.bertscore))
    scores = {**scores, **_provenance(manifest)}
    if manifest is not None:
        scores = {"subset": subset, **scores}
    if scores.get("simulated"):
        scores["warnings"] = [SIMULATED_NOTE, *scores["warnings"]]
    scores |= report_figures(arguments, predictions, manifest)
    files.write(predictions, blind, scores)
    print(format_scores(scores) + format_report_figures(scores))
    print(f"wrote {files.scores}", file=sys.stderr)
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative; expected 0 or more")
    return value


def _open_manifest(path: Path | None, subset: str | None) -> "tuple[Manifest | None, str]":
    """Return the manifest and the subset of it that was answered.

    Raises:
        ScoreError: a subset is named without the manifest that it is of.
    """
    if path is None and subset is not None:
        raise ScoreError(
            f"--subset {subset} cannot be checked without the manifest folder; give it after the "
            "answers, or leave --subset out"
        )
    if path is None:
        return None, DEFAULT_SUBSET
    from ecg_fairseq.records.manifest.folder import Manifest

    return Manifest.load(path), subset or DEFAULT_SUBSET


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
