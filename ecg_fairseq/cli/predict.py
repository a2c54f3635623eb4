"""``ecg-fairseq predict``: recordings in, an answer or label scores of each out.

The checkpoint decides which: a language model answers a question, a classifier scores its labels.
Two recordings are compared, in one answer, where that is asked for.
"""

import argparse
import json
import math
import sys
from typing import TYPE_CHECKING, Any

from ecg_fairseq.errors import EcgError, RecordError

if TYPE_CHECKING:
    from ecg_fairseq.networks.encoders.trained_encoder import TrainedEncoder
    from ecg_fairseq.networks.language_model.trained_system import Answer, TrainedSystem
    from ecg_fairseq.records.record import EcgRecord

DEFAULT_QUESTION = "What is the rhythm of this ECG?"
# Options of either kind of system, by their names among the parsed arguments.
ANSWERING_OPTIONS = ("compare", "question", "options", "max_new_tokens", "windows")
CLASSIFYING_OPTIONS = ("aggregate", "labels")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    from ecg_fairseq.networks.encoders.by_recording import AGGREGATES

    parser.add_argument(
        "record", nargs="*", help="recordings of any format; each gets an answer of its own"
    )
    parser.add_argument("--checkpoint", required=True, help="checkpoint file of a trained system")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument(
        "--accept-amplitude",
        action="store_true",
        help="take a signal whose amplitude, flat leads or gaps no ECG in mV has, with a warning",
    )
    answering = parser.add_argument_group("systems that answer questions (ECG-Byte)")
    answering.add_argument("--question", help=f"in words; default: {DEFAULT_QUESTION}")
    answering.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="ask one question about two recordings; for models trained on comparisons",
    )
    answering.add_argument(
        "--windows",
        choices=("first", "all"),
        help="judge by the first window of a recording, as fairseq-generate does (default), or by "
        "all: the answer whose mean log probability over the windows is the highest",
    )
    answering.add_argument("--options", nargs="*", help="closed set of answers to score")
    answering.add_argument(
        "--max-new-tokens",
        type=int,
        help="longest answer in text tokens; default: 64, or as the longest training answer",
    )
    classifying = parser.add_argument_group("systems that score labels (ECG-FM and other encoders)")
    classifying.add_argument(
        "--aggregate",
        choices=AGGREGATES,
        help="over the logits of a recording's segments; default: mean. published: ECG-FM's, the "
        "largest for five labels and the mean for the others",
    )
    classifying.add_argument(
        "--labels",
        metavar="LABEL_DEF.CSV",
        help="names of the labels where the checkpoint has none; mimic-iv-ecg: those of ECG-FM's "
        "released classifier",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the answer, or the labels' probabilities."""
    from ecg_fairseq.networks.trained import open_trained

    if bool(arguments.record) == bool(arguments.compare):
        raise EcgError("name the recordings to judge one by one, or two to compare after --compare")
    # Recordings first: they are read in no time, a language model is not.
    paths = arguments.compare or arguments.record
    records = [_plausible(path, arguments.accept_amplitude) for path in paths]
    trained = open_trained(arguments.checkpoint)
    if trained.can("answer"):
        _refuse(arguments, CLASSIFYING_OPTIONS, "is not a classifier")
        system = trained.require("answer")
        _say_still_segments(paths, records, system, arguments.accept_amplitude)
        return _answer(arguments, system, records)
    _refuse(arguments, ANSWERING_OPTIONS, "scores labels and answers no questions")
    system = trained.require("score_labels")
    _say_still_segments(paths, records, system, arguments.accept_amplitude)
    return _score(arguments, system, records)


def _plausible(path: str, accept: bool) -> "EcgRecord":
    """Read a recording and say what is odd about its signal; RecordError when it can be no ECG."""
    from ecg_fairseq.records.readers.any_format import read_record
    from ecg_fairseq.records.readers.plausibility import plausible

    try:
        record, found = plausible(read_record(path), accept)
    except RecordError as error:
        text = str(error)
        raise error if path in text else RecordError(f"{path}: {text}") from error
    for text in (*found.warnings.values(), *record.notes):
        print(f"warning: {path}: {text}", file=sys.stderr)
    return record


def _say_still_segments(
    paths: list[str], records: "list[EcgRecord]", system: Any, accept: bool
) -> None:
    """Say which segments are left out as no lead moves in them; RecordError when all of them are.

    Args:
        system: a :class:`TrainedSystem` or :class:`TrainedEncoder`.
        accept: judge a recording none of whose segments moves all the same.
    """
    from ecg_fairseq.records.readers.plausibility import judge, still_segments

    seconds = system.recipe.segment_seconds
    has_time = system.recipe.strips[0].kind == "lead"
    for path, record in zip(paths, records, strict=True):
        if not has_time or not judge(record).has_still_second:
            continue
        is_still = still_segments(record, len(system.segments(record)), seconds)
        if is_still.all() and not accept:
            raise RecordError(
                f"{path}: no lead moves in any segment of {seconds:g} s, so there is nothing to "
                "judge; give another recording, or --accept-amplitude to judge it all the same"
            )
        if is_still.any() and not is_still.all():
            numbers = ", ".join(str(index + 1) for index in is_still.nonzero()[0])
            _warn(
                f"{path}: no lead moves in segment {numbers} of {len(is_still)} ({seconds:g} s "
                "each), left out as `prepare` does"
            )


def _say_first_window(records: "list[EcgRecord]", seconds: float) -> None:
    """Say of recordings with more than one window that the others were not looked at."""
    for record in records:
        if record.seconds >= 2 * seconds:
            print(
                f"warning: {record.source}: only the first {seconds:g} s of {record.seconds:g} s "
                "are judged; --windows all judges by all of them",
                file=sys.stderr,
            )


def _refuse(arguments: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    """Refuse options that the system has no use for."""
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name)]
    if given:
        raise EcgError(f"{arguments.checkpoint} {why}; leave out {', '.join(given)}")


def _answer(
    arguments: argparse.Namespace, system: "TrainedSystem", records: "list[EcgRecord]"
) -> int:
    from ecg_fairseq.networks.language_model.answering import DecodingOptions

    question = DEFAULT_QUESTION if arguments.question is None else arguments.question
    groups = [records] if arguments.compare else [[record] for record in records]
    paths = [arguments.compare] if arguments.compare else [[path] for path in arguments.record]
    system.check_num_recordings(len(groups[0]))
    if arguments.compare and system.asked is None:
        _warn(f"{arguments.checkpoint} does not say whether it was trained on comparisons")
    longest = arguments.max_new_tokens
    longest = system.longest_answer if longest is None else longest
    decoding = DecodingOptions(max_new_tokens=longest)
    for text in system.notes(question, arguments.options or []):
        _warn(text)
    all_windows = arguments.windows == "all"
    if not all_windows:
        _say_first_window(records, system.recipe.segment_seconds)
    for group, named in zip(groups, paths, strict=True):
        options = arguments.options or []
        answer = system.answer(group, question, options, decoding, all_windows=all_windows)
        if answer.is_cut:
            _warn(
                f"{' and '.join(named)}: the answer did not end within {longest} tokens and is cut "
                "there; allow more with --max-new-tokens"
            )
        _print_answer(arguments, named, question, answer)
    return 0


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _print_answer(
    arguments: argparse.Namespace, paths: list[str], question: str, answer: "Answer"
) -> None:
    """Print an answer; behind its recording's path where there are several answers."""
    probability = math.exp(answer.log_probability)
    if arguments.json:
        value = {
            "records": paths,
            "question": question,
            "answer": answer.text,
            "probability": probability,
            "options": {option: math.exp(score) for option, score in answer.options},
        }
        if answer.windows:
            value["windows"] = list(answer.windows)
        print(json.dumps(value, ensure_ascii=False))
        return
    start = f"{paths[0]}: " if len(arguments.record) > 1 else ""
    print(f"{start}{answer.text}  (probability {probability:.3f})")
    for option, score in answer.options:
        print(f"  {option}: {math.exp(score):.3f}")


def _score(
    arguments: argparse.Namespace, system: "TrainedEncoder", records: "list[EcgRecord]"
) -> int:
    if arguments.labels is not None:
        system = system.named(arguments.labels)
    if not system.has_label_names:
        print(
            f"{arguments.checkpoint} does not name its {len(system.labels)} labels; give --labels "
            "label_def.csv, or --labels mimic-iv-ecg for ECG-FM's released classifier",
            file=sys.stderr,
        )
    for path, record in zip(arguments.record, records, strict=True):
        value = _label_scores(system, record, arguments.aggregate or "mean")
        if arguments.json:
            print(json.dumps({"record": path, **value}, ensure_ascii=False))
            continue
        if len(records) > 1:
            print(f"{path}:")
        _print_scores(value)
    return 0


def _print_scores(value: dict[str, Any]) -> None:
    """Print a line a label, the likeliest first."""
    width = max(len(label) for label in value["labels"])
    ranked = sorted(value["labels"].items(), key=lambda item: -item[1]["logit"])
    for label, scores in ranked:
        parts = "  ".join(f"{number:.3f}" for number in scores["segment_probabilities"])
        print(f"{label:{width}}  {scores['probability']:.3f}   segments {parts}")


def _label_scores(system: Any, record: Any, how: str) -> dict[str, Any]:
    """Return a recording's label scores as plain values.

    Args:
        system: a :class:`TrainedEncoder` that is a classifier.
        record: an :class:`EcgRecord`.
        how: see :func:`by_recording.aggregate`.
    """
    from scipy.special import expit

    from ecg_fairseq.networks.encoders.by_recording import aggregate

    logits = system.logits(system.moving_segments(record)).astype(float)
    whole = aggregate(logits, system.labels, how)
    strip = system.recipe.strips[0]
    return {
        "recipe": system.recipe.name,
        "num_segments": len(logits),
        "segment_seconds": strip.num_samples / strip.fs_hz,
        "record_seconds": record.seconds,
        "aggregate": how,
        "labels": {
            label: {
                "probability": float(expit(whole[k])),
                "logit": float(whole[k]),
                "segment_probabilities": expit(logits[:, k]).tolist(),
                "segment_logits": logits[:, k].tolist(),
            }
            for k, label in enumerate(system.labels)
        },
    }
