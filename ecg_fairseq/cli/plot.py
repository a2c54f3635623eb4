"""``ecg-fairseq plot``: a recording on ECG paper, with tokens, scores or saliency if asked."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ecg_fairseq.errors import EcgError, RecordError, TokenizerError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor

    from ecg_fairseq.networks.encoders.trained_encoder import TrainedEncoder
    from ecg_fairseq.records.record import EcgRecord
    from ecg_fairseq.signal.recipe import Recipe
    from ecg_fairseq.tokenizer import EcgTokens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("record", type=Path, help="recording in any supported format")
    parser.add_argument("--out", type=Path, required=True, help="picture: .png, .svg or .pdf")
    parser.add_argument(
        "--layout", choices=("3x4", "6x2", "12x1"), default="3x4", help="3x4 has a rhythm strip"
    )
    parser.add_argument(
        "--speed", type=float, choices=(25.0, 50.0), default=25.0, help="paper speed in mm/s"
    )
    parser.add_argument(
        "--gain", type=float, choices=(5.0, 10.0, 20.0), default=10.0, help="gain in mm/mV"
    )
    parser.add_argument(
        "--start", type=float, default=0.0, help="where the page begins, in seconds"
    )
    parser.add_argument(
        "--tokens", type=Path, metavar="TOK.JSON", help="mark what each BPE token covers"
    )
    parser.add_argument(
        "--scores",
        type=Path,
        metavar="S.NPY",
        help="shade by per-sample scores, (leads, samples) or (samples,)",
    )
    parser.add_argument("--checkpoint", metavar="C", help="shade by what this network looked at")
    parser.add_argument(
        "--saliency",
        choices=("gradient", "integrated", "attention", "rollout", "published-attention"),
        help="with --checkpoint: default gradient (x input) of a classifier's label, else "
        "attention, which is of no label: what each moment receives. published-attention is "
        "ECG-FM's figure",
    )
    parser.add_argument(
        "--label", help="with --checkpoint: name or number; default: the likeliest label"
    )
    parser.add_argument(
        "--baseline",
        metavar="MANIFEST",
        help="with --saliency integrated: compare with recordings of its training split; default: "
        "with the recording's own waves undone (phases drawn anew)",
    )
    parser.add_argument(
        "--labels", metavar="LABEL_DEF.CSV", help="with --checkpoint: names of the labels"
    )
    parser.add_argument("--dpi", type=float, default=150.0, help="pixels per inch of a .png")


def run(arguments: argparse.Namespace) -> int:
    """Draw the record and write the picture; print its path."""
    from ecg_fairseq.plot.paper import save_figure
    from ecg_fairseq.records.readers.any_format import read_record

    if not 20.0 <= arguments.dpi <= 1200.0:
        raise RecordError(f"--dpi {arguments.dpi:g} is out of range; choose 20 to 1200")
    record = read_record(arguments.record)
    save_figure(_draw(arguments, record), arguments.out, arguments.dpi)
    print(arguments.out)
    return 0


def _draw(arguments: argparse.Namespace, record: "EcgRecord") -> "Figure":
    from ecg_fairseq.plot.ecg import plot_ecg
    from ecg_fairseq.plot.paper import Scale
    from ecg_fairseq.plot.spans import has_plain_time, spans_on_leads
    from ecg_fairseq.plot.strips import plot_strips

    scores, caption = _overlay(arguments, record)
    scale = Scale(arguments.speed, arguments.gain)
    draw = partial(
        plot_ecg,
        record,
        layout=arguments.layout,
        scale=scale,
        start_s=arguments.start,
        scores=scores,
        overlay_text=caption,
    )
    if arguments.tokens is None:
        return draw()
    tokenizer, recipe = _open_tokenizer(arguments.tokens)
    segments = recipe.apply(record.signal, record.leads, record.fs_hz)
    ids = tokenizer.encode(segments)
    if has_plain_time(recipe.strips):
        spans = spans_on_leads([tokenizer.spans(one) for one in ids], recipe.strips)
        return draw(spans=spans)
    if scores is not None:
        raise RecordError(
            f"--scores are per sample of the recording, but recipe {recipe.name} shows median "
            "beats; draw scores and tokens in two pictures"
        )
    print(
        f"recipe {recipe.name} has no plain time axis: drawing its strips instead of the layout",
        file=sys.stderr,
    )
    title = f"Record {record.record_id}   recipe {recipe.name}   first segment"
    return plot_strips(
        segments[0], recipe.strips, tokenizer.spans(ids[0]), scale=scale, title=title
    )


def _overlay(arguments: argparse.Namespace, record: "EcgRecord") -> "tuple[np.ndarray | None, str]":
    """Return the scores to shade by, and what they are."""
    if arguments.checkpoint is None:
        for option in ("saliency", "label", "labels", "baseline"):
            if getattr(arguments, option) is not None:
                raise EcgError(f"--{option} explains a network; give its --checkpoint")
        return None if arguments.scores is None else _read_scores(arguments.scores), ""
    for option in ("scores", "tokens"):
        if getattr(arguments, option) is not None:
            raise EcgError(f"--{option} and --checkpoint shade the same paper; draw two pictures")
    return _saliency(arguments, record)


def _saliency(arguments: argparse.Namespace, record: "EcgRecord") -> "tuple[np.ndarray, str]":
    """Return a network's saliency for display, and its caption."""
    from ecg_fairseq.networks.encoders.record_saliency import (
        GRADIENT_METHODS,
        caption_of,
        for_display,
        record_saliency,
    )
    from ecg_fairseq.networks.trained import open_trained

    system = open_trained(arguments.checkpoint).require("embed")
    if arguments.labels is not None:
        system = system.named(arguments.labels)
    method = arguments.saliency or ("gradient" if system.is_classifier else "attention")
    asked = None if arguments.label is None else system.label_number(arguments.label)
    baselines = _baselines(arguments, system)
    label, caption = None, caption_of(method, baselines)
    if method in GRADIENT_METHODS:
        label, named = _explained_label(system, record, asked)
        caption = f"{named}: {caption}"
    elif asked is not None:
        print(
            f"warning: saliency {method} is the same for every label, so {system.labels[asked]} "
            "does not stand in the picture; gradient and integrated explain a label",
            file=sys.stderr,
        )
    found = record_saliency(system, record, method, label, baselines)
    return for_display(found, method), caption


def _explained_label(
    system: "TrainedEncoder", record: "EcgRecord", asked: int | None
) -> tuple[int, str]:
    """Return the column of the label asked about, else the likeliest one, and it in words."""
    from scipy.special import expit

    from ecg_fairseq.networks.encoders.by_recording import aggregate

    logits = aggregate(system.logits(system.moving_segments(record)), system.labels)
    label = int(logits.argmax()) if asked is None else asked
    return label, f"{system.labels[label]} {expit(logits[label]):.2f}"


def _baselines(arguments: argparse.Namespace, system: "TrainedEncoder") -> "Tensor | None":
    """Return training segments to compare with, if a manifest was given."""
    if arguments.baseline is None:
        return None
    if arguments.saliency != "integrated":
        raise EcgError("--baseline is what --saliency integrated compares with; give both")
    from ecg_fairseq.data.signals.embeddings import check_folder
    from ecg_fairseq.data.signals.segment_folder import SegmentFolder
    from ecg_fairseq.networks.encoders.integrated_gradients.baselines import training_segments
    from ecg_fairseq.records.segments.segment_list import SegmentList

    folder = SegmentFolder.open(Path(arguments.baseline))
    check_folder(system, folder, external_test=True)
    return training_segments(system, SegmentList.load(folder.tsv("train")))


def _read_scores(path: Path) -> "np.ndarray":
    import numpy as np

    try:
        scores = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as cause:
        raise RecordError(f"scores {path} cannot be read as a .npy array: {cause}") from cause
    if not isinstance(scores, np.ndarray) or scores.dtype.kind not in "fiub":
        raise RecordError(f"scores {path} must be one array of numbers in .npy format")
    return scores


def _open_tokenizer(path: Path) -> "tuple[EcgTokens, Recipe]":
    """Load a tokenizer and the recipe that it was trained on."""
    from ecg_fairseq.signal.recipes import recipe_from_description
    from ecg_fairseq.tokenizer import EcgTokenizer, open_tokens

    tokenizer = open_tokens(path)
    symbols_only = isinstance(tokenizer, EcgTokenizer) and tokenizer.quantizer is None
    if tokenizer.recipe is None or symbols_only:
        raise TokenizerError(
            f"tokenizer {path} names no recipe or no quantizer, so a recording cannot be turned "
            "into its symbols; train one from a manifest"
        )
    recipe = recipe_from_description(tokenizer.recipe, f"tokenizer {path}")
    return tokenizer, recipe
