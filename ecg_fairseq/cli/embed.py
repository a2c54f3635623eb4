"""``ecg-fairseq embed``: embeddings of all recordings or segments of a manifest as a ``.npy``."""

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_fairseq.errors import EcgError

if TYPE_CHECKING:
    from ecg_fairseq.data.signals.embeddings import Embeddings
    from ecg_fairseq.networks.encoders.trained_encoder import TrainedEncoder

COLUMNS = ("row", "record_id", "patient_id", "split", "idx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add_embedding_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="X.npy; X.tsv says whose row is")
    parser.add_argument(
        "--split",
        default="all",
        help="names of lists, with commas between: train, valid, test; default: all three",
    )
    parser.add_argument(
        "--per",
        choices=("record", "segment"),
        default="record",
        help="a row is a recording (the mean of its segments), or a segment",
    )
    parser.add_argument(
        "--random-init",
        action="store_true",
        help="an encoder of the same architecture with random weights, as a floor",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random weights")


def add_embedding_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every verb that embeds needs."""
    from ecg_fairseq.networks.encoders.pooling import POOLINGS

    parser.add_argument(
        "manifest",
        type=Path,
        help="manifest folder, or a folder of fairseq-signals' train.tsv, valid.tsv, test.tsv",
    )
    parser.add_argument("--checkpoint", required=True, help="checkpoint file of an encoder")
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="over the frames of a segment; encoder: the encoder's own vector; default: what "
        "classifiers are trained on, which is mean for ECG-FM and encoder for others",
    )
    parser.add_argument(
        "--external-test",
        "--allow-other-split",
        action="store_true",
        help="do not compare the checkpoint's patients with those to be tested on: they are known "
        "to be others (--allow-other-split: older name)",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="segments at a time")
    parser.add_argument("--num-workers", type=int, default=0, help="processes that read signals")
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, ...; default: a GPU where there is one"
    )


def open_encoder(arguments: argparse.Namespace) -> "TrainedEncoder":
    """Load the checkpoint onto the device that was asked for."""
    import torch

    from ecg_fairseq.networks.trained import open_trained

    name = arguments.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return open_trained(arguments.checkpoint).require("embed").to(name)


def embedding_options(arguments: argparse.Namespace) -> Any:
    """Return :class:`EmbeddingOptions`; EcgError for numbers that make no sense."""
    from ecg_fairseq.data.signals.embeddings import EmbeddingOptions

    for name, lowest in (("batch_size", 1), ("num_workers", 0)):
        value = getattr(arguments, name)
        if value < lowest:
            option = f"--{name.replace('_', '-')}"
            raise EcgError(f"{option} {value}; expected {lowest} or more")
    return EmbeddingOptions(arguments.pooling, arguments.batch_size, arguments.num_workers)


def run(arguments: argparse.Namespace) -> int:
    """Write the array, the table and what they were made of; print a line of JSON."""
    from ecg_fairseq.data.signals.embeddings import check_folder, embed_folder
    from ecg_fairseq.data.signals.segment_folder import SegmentFolder
    from ecg_fairseq.networks.encoders.trained_encoder import random_encoder
    from ecg_fairseq.records.record_row import SPLITS

    if arguments.out.suffix != ".npy":
        raise EcgError(f"--out {arguments.out} must end in .npy; the table is written beside it")
    options = embedding_options(arguments)
    folder = SegmentFolder.open(arguments.manifest)
    names = arguments.split.split(",")
    if arguments.split == "all":
        names = [split for split in SPLITS if (folder.path / f"{split}.tsv").is_file()]
        names = names or ["train"]
    if len(set(names)) < len(names):
        raise EcgError(f"--split {arguments.split} names a list twice")
    system = open_encoder(arguments)
    # Nobody is tested on embeddings of random weights, or of the train split alone.
    needs_no_test = arguments.external_test or arguments.random_init or names == ["train"]
    check_folder(system, folder, needs_no_test)
    if arguments.random_init:
        system = random_encoder(system, arguments.seed)
    started = time.monotonic()
    embeddings = embed_folder(system, folder, names, options)
    if arguments.per == "record":
        embeddings = embeddings.by_record()
    seconds = time.monotonic() - started
    facts = {
        "rows": len(embeddings),
        "width": int(embeddings.values.shape[1]),
        "per": arguments.per,
        "pooling": arguments.pooling or system.default_pooling,
        "splits": names,
        "random_init_seed": arguments.seed if arguments.random_init else None,
        "network": system.trained.name,
        "recipe": system.recipe.name,
        "dataset": folder.dataset,
        "split_hash": folder.split_hash,
    }
    _write(arguments.out, embeddings, {**facts, "checkpoint": _identity(arguments.checkpoint)})
    print(json.dumps({**facts, "seconds": round(seconds, 2), "out": str(arguments.out)}))
    return 0


def _identity(checkpoint: str) -> dict[str, str]:
    from ecg_fairseq.files import sha256_of_file

    return {"file": Path(checkpoint).name, "sha256": sha256_of_file(checkpoint)}


def _write(out: Path, embeddings: "Embeddings", facts: dict[str, Any]) -> None:
    """Write X.npy, X.tsv and X.json, each whole or not at all, and read the array back."""
    import numpy as np

    from ecg_fairseq.files import atomic_write, write_json
    from ecg_fairseq.records.record_row import one_line

    values = embeddings.values
    if not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
        raise EcgError(
            f"{len(rows)} embeddings are not finite (first: record "
            f"{embeddings.record_ids[rows[0]]}); nothing was written. The weights have diverged"
        )
    last = "num_segments" if embeddings.is_by_record else "segment"
    with atomic_write(out.with_suffix(".tsv")) as stream:
        stream.write("\t".join((*COLUMNS, last)) + "\n")
        for row in range(len(embeddings)):
            cells = (
                row,
                embeddings.record_ids[row],
                embeddings.patient_ids[row],
                embeddings.splits[row],
                embeddings.idx[row],
                embeddings.parts[row],
            )
            stream.write("\t".join(one_line(str(cell)) for cell in cells) + "\n")
    write_json(out.with_suffix(".json"), facts)
    with atomic_write(out, "wb") as stream:
        np.save(stream, values)
    if not np.array_equal(np.load(out, mmap_mode="r", allow_pickle=False), values):
        raise EcgError(f"{out} does not hold what was written; the disk is damaged or full")
