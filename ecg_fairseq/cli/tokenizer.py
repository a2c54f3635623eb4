"""``ecg-fairseq tokenizer``: train, import, export, use and examine tokenizers of ECGs."""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_fairseq.errors import Interrupted, TokenizerError
from ecg_fairseq.progress import MODES as PROGRESS_MODES
from ecg_fairseq.records.record_row import SPLITS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer
    from ecg_fairseq.tokenizer.training import TrainingOptions
    from ecg_fairseq.tokenizer.training_text import TrainingText

_MODES = ("greedy", "bpe")
_LINES_PER_BATCH = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs."""
    verbs = parser.add_subparsers(dest="tokenizer_verb", required=True, metavar="SUBVERB")
    for name, summary, add in (
        ("train", "train on a text file or a manifest's training side", _add_train),
        ("import", "read a reference pickle without running it", _add_import),
        ("export-hf", "write a tokenizer.json for Hugging Face tokenizers", _add_export),
        ("encode", "lines on stdin to lines of ids", _add_code),
        ("decode", "lines of ids on stdin to lines", _add_code),
        ("export", "the FSQ tokens of a trained autoencoder as a token file", _add_export_fsq),
        ("register", "enter a token file into a manifest", _add_register),
        ("stats", "usage, compression, error and overlap: figures and JSON", _add_stats),
        ("track", "which token covers which samples: picture and JSON", _add_track),
    ):
        verb = verbs.add_parser(name, help=summary, description=summary)
        verb.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks"
        )
        add(verb)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-verb that was typed."""
    return {
        "train": _train,
        "import": _import,
        "export-hf": _export,
        "encode": _encode,
        "decode": _decode,
        "export": _export_fsq,
        "register": _register,
        "stats": _stats,
        "track": _track,
    }[arguments.tokenizer_verb](arguments)


def _add_train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--input", type=Path, required=True, help="text file (a sequence a line) or manifest")
    add("--num-merges", type=int, required=True, help="merges wanted; ids are 256 more")
    add("--out", type=Path, required=True, help="tokenizer.json to write")
    add("--threads", type=int, default=0, help="0: one per core; never changes the result")
    add("--boundary", choices=("none", "record", "lead"), help="merges never cross it (record)")
    add("--min-count", type=int, default=1, help="stop when no pair is this frequent (1)")
    add("--mode", choices=_MODES, default="greedy", help="how the tokenizer encodes (greedy)")
    add("--sample", type=int, help="train on this many records or lines only, drawn with --seed")
    add(
        "--sampling",
        choices=("patient", "cluster"),
        default="patient",
        help="patient: spread over patients; cluster: over clusters of signal features",
    )
    add("--seed", type=int, default=0, help="seed of --sample")
    add("--resume", action="store_true", help="go on from the merges in --out, if it exists")
    add("--progress", choices=PROGRESS_MODES, default="auto")


def _train(arguments: argparse.Namespace) -> int:
    from ecg_fairseq.tokenizer.training import TrainingOptions

    options = TrainingOptions(
        arguments.num_merges, arguments.min_count, arguments.mode, arguments.threads
    )
    options.validate()
    with _only_writer(arguments.out):
        return _train_with(options, arguments)


def _train_with(options: "TrainingOptions", arguments: argparse.Namespace) -> int:
    from ecg_fairseq.tokenizer import EcgTokenizer
    from ecg_fairseq.tokenizer.training import INTERRUPTED, check_memory, train_tokenizer

    text = _training_text(arguments)
    sample = text.origin.get("sample")
    if sample:
        used = f"{sample['used']:,} of {sample['of']:,}"
        print(f"sample: {used} ({sample['fraction']:.2%}) of the records", file=sys.stderr)
    print(check_memory(text), file=sys.stderr)
    previous = None
    if arguments.resume and arguments.out.exists():
        previous = EcgTokenizer.load(arguments.out)
        print(f"going on from {previous.num_merges} merges", file=sys.stderr)
    try:
        tokenizer = train_tokenizer(text, options, arguments.progress, previous)
    except KeyboardInterrupt:
        raise Interrupted("stopped before the first merge; nothing was written") from None
    tokenizer.save(arguments.out)
    if tokenizer.training["stop"] == INTERRUPTED:
        raise Interrupted(
            f"stopped after {tokenizer.num_merges} of {arguments.num_merges} merges, which are "
            f"kept in {arguments.out} (a valid tokenizer); go on with --resume"
        )
    if arguments.input.is_dir():
        _enter(arguments.input, arguments.out)
    _print_summary(tokenizer, arguments.out)
    return 0


def _enter(folder: Path, tokenizer: Path) -> None:
    """Enter a tokenizer into a manifest, and say which other one gave way to it."""
    from ecg_fairseq.records.preparation.manifest_writer import set_tokenizer

    if replaced := set_tokenizer(folder, tokenizer):
        print(f"warning: {folder} had {replaced} registered; now {tokenizer}", file=sys.stderr)


@contextlib.contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    """Keep others from writing a tokenizer file, and remove what killed commands left of it."""
    from ecg_fairseq.files import remove_incomplete
    from ecg_fairseq.folder_lock import locked_beside

    with locked_beside(path, "tokenizer"):
        remove_incomplete(path.parent, path.name)
        yield


def _training_text(arguments: argparse.Namespace) -> "TrainingText":
    from ecg_fairseq.tokenizer.training_text import open_text

    if arguments.sampling == "patient":
        return open_text(arguments.input, arguments.boundary, arguments.sample, arguments.seed)
    from ecg_fairseq.tokenizer.sampling import clustered_text

    return clustered_text(
        arguments.input, arguments.boundary, arguments.sample, arguments.seed, arguments.progress
    )


def _print_summary(tokenizer: "EcgTokenizer", path: Path) -> None:
    summary = {
        "tokenizer": str(path),
        "sha256": tokenizer.sha256(),
        "num_merges": tokenizer.num_merges,
        "mode": tokenizer.mode,
        "training": tokenizer.training,
    }
    print(json.dumps(summary))


def _add_import(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("pickle", type=Path, metavar="FILE.pkl", help="as ECG-Byte's train_tokenizer.py saves it")
    add("--out", type=Path, required=True, help="tokenizer.json to write")
    add("--low", type=float, help="low end of its quantiser in mV (percentile_1 - 0.5)")
    add("--high", type=float, help="high end of its quantiser in mV (percentile_99 + 0.5)")
    add("--decode", choices=("centre", "reference"), default="centre", help="inverse quantiser")


def _import(arguments: argparse.Namespace) -> int:
    from ecg_fairseq.tokenizer.pickles import import_pickle

    tokenizer = import_pickle(arguments.pickle, _quantizer(arguments))
    with _only_writer(arguments.out):
        tokenizer.save(arguments.out)
    _print_summary(tokenizer, arguments.out)
    return 0


def _quantizer(arguments: argparse.Namespace) -> "Quantizer | None":
    from ecg_fairseq.tokenizer import Quantizer

    if arguments.low is None and arguments.high is None:
        return None
    if arguments.low is None or arguments.high is None:
        raise TokenizerError("give both --low and --high, or neither")
    return Quantizer(arguments.low, arguments.high, decode=arguments.decode)


def _add_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--tokenizer", type=Path, required=True)
    add("--mode", choices=_MODES, help="default: the tokenizer's own")
    add("--out", type=Path, required=True, metavar="DIR")


def _export(arguments: argparse.Namespace) -> int:
    from ecg_fairseq.tokenizer import EcgTokenizer
    from ecg_fairseq.tokenizer.huggingface import export_huggingface

    tokenizer = EcgTokenizer.load(arguments.tokenizer)
    print(export_huggingface(tokenizer, arguments.mode or tokenizer.mode, arguments.out))
    return 0


def _add_export_fsq(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="of the model fsq_autoencoder")
    add("--out", type=Path, required=True, help="JSON to write; weights go beside it")


def _export_fsq(arguments: argparse.Namespace) -> int:
    from ecg_fairseq.networks.trained import open_trained

    tokens = open_trained(arguments.checkpoint).require("tokenize")
    with _only_writer(arguments.out):
        tokens.save(arguments.out)
    summary = {"tokenizer": str(arguments.out), "kind": tokens.kind, "sha256": tokens.sha256()}
    print(json.dumps({**summary, "recipe": tokens.recipe, "split_hash": tokens.split_hash}))
    return 0


def _add_register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument(
        "--external-test",
        action="store_true",
        help="do not compare splits: the manifest's patients are known to be others",
    )


def _register(arguments: argparse.Namespace) -> int:
    from ecg_fairseq.records.manifest.provenance import check_tokenizer, provenance_of
    from ecg_fairseq.tokenizer import open_tokens

    tokens = open_tokens(arguments.tokenizer)
    present = provenance_of(arguments.manifest)
    check_tokenizer(tokens.recipe, tokens.split_hash, present, arguments.external_test)
    _enter(arguments.manifest, arguments.tokenizer)
    print(json.dumps({"manifest": str(arguments.manifest), "sha256": tokens.sha256()}))
    return 0


def _add_code(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--mode", choices=_MODES, help="default: the tokenizer's own")
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")


def _encode(arguments: argparse.Namespace) -> int:
    tokenizer = _load_for_lines(arguments)
    for lines in _line_batches():
        for ids in tokenizer.encode_batch(lines, arguments.threads):
            sys.stdout.write(" ".join(map(str, ids.tolist())) + "\n")
    sys.stdout.flush()
    return 0


def _decode(arguments: argparse.Namespace) -> int:
    tokenizer = _load_for_lines(arguments)
    number = 0
    for lines in _line_batches():
        for line in lines:
            number += 1
            try:
                ids = [int(word) for word in line.split()]
                sys.stdout.buffer.write(tokenizer.decode_bytes(ids) + b"\n")
            except (TokenizerError, ValueError) as error:
                raise TokenizerError(f"line {number}: {error}") from error
    sys.stdout.buffer.flush()
    return 0


def _load_for_lines(arguments: argparse.Namespace) -> "EcgTokenizer":
    from ecg_fairseq.tokenizer import EcgTokenizer

    if arguments.threads < 0:
        raise TokenizerError(f"--threads must be 0 or more, got {arguments.threads}")
    tokenizer = EcgTokenizer.load(arguments.tokenizer)
    return tokenizer if arguments.mode is None else tokenizer.with_mode(arguments.mode)


def _line_batches() -> Iterator[list[bytes]]:
    """Yield lines of stdin without their line ends."""
    batch: list[bytes] = []
    for line in sys.stdin.buffer:
        batch.append(line.removesuffix(b"\n").removesuffix(b"\r"))
        if len(batch) == _LINES_PER_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _add_stats(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--tokenizer", type=Path, required=True)
    add("--input", type=Path, required=True, nargs="+", help="manifests or text files to encode")
    add("--split", default="train", choices=SPLITS, help="split of manifests")
    add("--limit", type=int, help="at most this many segments or lines of each input")
    add("--against", type=Path, help="another tokenizer: how many tokens do both have?")
    add("--out", type=Path, required=True, metavar="DIR", help="stats.json and figures")


def _stats(arguments: argparse.Namespace) -> int:
    from ecg_fairseq.files import write_json
    from ecg_fairseq.tokenizer import FsqTokens, figures, open_tokens

    if arguments.limit is not None and arguments.limit < 1:
        raise TokenizerError(f"--limit must be at least 1, got {arguments.limit}")
    tokens = open_tokens(arguments.tokenizer)
    if isinstance(tokens, FsqTokens):
        from ecg_fairseq.tokenizer.fsq.report import describe_usage

        against = open_tokens(arguments.against) if arguments.against else None
        result, pictures = describe_usage(
            tokens, arguments.input, arguments.split, arguments.limit, against
        )
    else:
        result, pictures = _bpe_usage(arguments)
    for name, figure in pictures.items():
        figures.save_figure(figure, arguments.out / name)
    result["figures"] = [str(arguments.out / name) for name in pictures]
    write_json(arguments.out / "stats.json", result)
    print(json.dumps(result))
    return 0


def _bpe_usage(arguments: argparse.Namespace) -> "tuple[dict[str, Any], dict[str, Figure]]":
    """Return the figures of an ECG-BPE tokenizer, and pictures by file name."""
    from ecg_fairseq.tokenizer import EcgTokenizer, analysis, figures

    tokenizer = EcgTokenizer.load(arguments.tokenizer)
    corpora = [
        analysis.Corpus(path, arguments.split, tokenizer, arguments.limit)
        for path in arguments.input
    ]
    usages = [analysis.measure_usage(corpus) for corpus in corpora]
    curves = [analysis.merge_curve(corpus) for corpus in corpora]
    result: dict[str, Any] = {
        "tokenizer": {"sha256": tokenizer.sha256(), "mode": tokenizer.mode},
        "corpora": [
            usage.to_dict(tokenizer) | {"by_num_merges": curve}
            for usage, curve in zip(usages, curves, strict=True)
        ],
        "shared_usage": analysis.usage_overlap(usages),
    }
    pictures = {"usage.png": figures.usage_figure(usages, curves, tokenizer)}
    for number, corpus in enumerate(corpora):
        figure = figures.reconstruction_figure(corpus)
        if figure is not None:
            pictures[f"reconstruction_{number}.png"] = figure
    if arguments.against is not None:
        other = EcgTokenizer.load(arguments.against)
        rows = result["shared_vocabulary"] = analysis.vocabulary_overlap(tokenizer, other)
        # with another quantiser the same letters mean other voltages
        result["same_quantiser"] = tokenizer.quantizer == other.quantizer
        title = f"{arguments.tokenizer.stem} and {arguments.against.stem}"
        pictures["overlap.png"] = figures.overlap_figure(rows, title)
    return result, pictures


def _add_track(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("record", metavar="RECORD", help="a recording, or with --manifest a record id")
    add("--tokenizer", type=Path, required=True)
    add("--manifest", type=Path, help="take the record from this manifest")
    add("--segment", type=int, default=0, help="which segment of the record (0)")
    add("--leads", nargs="+", help="draw these leads only")
    add("--out", type=Path, required=True, metavar="PICTURE", help=".png, .svg or .pdf")


def _track(arguments: argparse.Namespace) -> int:
    from ecg_fairseq.records.manifest.provenance import Provenance, check_tokenizer
    from ecg_fairseq.tokenizer import open_tokens, tracking
    from ecg_fairseq.tokenizer.figures import check_picture, save_figure

    check_picture(arguments.out)
    tokenizer = open_tokens(arguments.tokenizer)
    if arguments.manifest is None:
        segment = tracking.file_segment(Path(arguments.record), tokenizer, arguments.segment)
    else:
        segment = tracking.manifest_segment(arguments.manifest, arguments.record, arguments.segment)
    values, strips, recipe_hash = segment
    present = Provenance(recipe={"name": "recipe", "hash": recipe_hash})
    check_tokenizer(tokenizer.recipe, None, present)
    tracked = tracking.track_tokens(tokenizer, values, strips)
    figure = tracking.tracking_figure(values, strips, tracked, arguments.leads)
    save_figure(figure, arguments.out)
    print(json.dumps(tracked))
    return 0
