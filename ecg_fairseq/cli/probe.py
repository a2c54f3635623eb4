"""``ecg-fairseq probe``: what a linear classifier reads out of a frozen encoder.

Always beside an encoder of the same architecture with random weights, on the same patients.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_fairseq.cli.embed import add_embedding_arguments, embedding_options, open_encoder
from ecg_fairseq.errors import EcgError, ManifestError

if TYPE_CHECKING:
    import numpy as np

    from ecg_fairseq.data.signals.embeddings import Embeddings
    from ecg_fairseq.data.signals.label_source import LabelSource
    from ecg_fairseq.evaluation.labels.linear_probe import ProbeData

DEFAULT_FRACTIONS = "0.01,0.1,1"
DEFAULT_SEEDS = "1,2,3,4,5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    add_embedding_arguments(parser)
    parser.add_argument(
        "--fractions",
        default=DEFAULT_FRACTIONS,
        help=f"of the labelled training patients; default: {DEFAULT_FRACTIONS}",
    )
    parser.add_argument(
        "--seeds",
        default=DEFAULT_SEEDS,
        help=f"draws of the patients of a fraction; default: {DEFAULT_SEEDS}",
    )
    parser.add_argument(
        "--labels-file",
        metavar="Y.NPY",
        help="a row for each recording, label_def.csv beside it; default: the manifest's labels",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write probe.json and probe.md")
    parser.add_argument("--random-seed", type=int, default=1, help="of the random encoder")
    parser.add_argument(
        "--resamples",
        type=int,
        default=400,
        help="draws of test patients, for the intervals of AUPRC; 0: no intervals at all",
    )


def run(arguments: argparse.Namespace) -> int:
    """Embed, fit, print the table; write it if asked."""
    from ecg_fairseq.data.signals.embeddings import check_folder, embed_folder
    from ecg_fairseq.data.signals.label_source import LabelSource
    from ecg_fairseq.data.signals.segment_folder import SegmentFolder
    from ecg_fairseq.evaluation.labels.linear_probe import probe_fractions
    from ecg_fairseq.evaluation.labels.probe_table import compare_probes, comparison_markdown
    from ecg_fairseq.networks.encoders.trained_encoder import random_encoder
    from ecg_fairseq.records.record_row import SPLITS

    fractions = [_fraction(text) for text in arguments.fractions.split(",")]
    seeds = [_whole(text) for text in arguments.seeds.split(",")]
    if arguments.resamples < 0:
        raise EcgError(f"--resamples {arguments.resamples}; expected 0 or more")
    options = embedding_options(arguments)
    folder = SegmentFolder.open(arguments.manifest)
    labels = LabelSource.find(folder, arguments.labels_file)
    if labels is None:
        raise ManifestError(
            f"{arguments.manifest} has no labels/y.npy; give --labels-file, or make the manifest "
            "anew with labels"
        )
    system = open_encoder(arguments)
    check_folder(system, folder, arguments.external_test)
    results = []
    for one in (system, random_encoder(system, arguments.random_seed)):
        train, valid, test = (
            _probe_data(embed_folder(one, folder, [split], options), labels) for split in SPLITS
        )
        print(f"fitting on embeddings of {one.path}", file=sys.stderr)
        results.append(probe_fractions(train, valid, test, fractions, seeds))
    names = labels.names or [f"label_{k}" for k in range(labels.num_labels)]
    trained, random = results
    comparisons = compare_probes(trained, random, names, arguments.resamples)
    table = comparison_markdown(comparisons)
    print(table, end="")
    if arguments.out is not None:
        facts = {**_facts(arguments, system, folder), "labels": list(names)}
        facts["fractions"] = [one.to_dict() for one in comparisons]
        _write(arguments.out, facts, table)
    return 0


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise EcgError(f"--fractions: {text!r}; expected numbers above 0, at most 1, as in 0.01,1")
    return value


def _whole(text: str) -> int:
    if not text.strip().isdecimal():
        raise EcgError(f"--seeds: {text!r}; expected whole numbers, as in 1,2,3")
    return int(text)


def _probe_data(embeddings: "Embeddings", labels: "LabelSource") -> "ProbeData":
    """Return embeddings with their recordings' labels.

    Raises:
        ManifestError: a segment's recording has no row in the label file.
    """
    from ecg_fairseq.evaluation.labels.linear_probe import ProbeData

    idx = embeddings.idx
    if (idx < 0).any() or (idx >= len(labels.values)).any():
        raise ManifestError(
            f"{labels.path} has {len(labels.values)} rows, segments are of recordings "
            f"{idx.min()} to {idx.max()} (-1: the file does not say); use the label file that was "
            "made with these lists"
        )
    patients = embeddings.patient_ids
    if not all(patients):
        print(
            "the segments do not say whose they are: intervals take each recording for a patient",
            file=sys.stderr,
        )
        patients = embeddings.record_ids
    values: np.ndarray = labels.values[idx]
    return ProbeData(
        embeddings.values,
        values.astype(float),
        [str(name) for name in embeddings.record_ids],
        [str(name) for name in patients],
    )


def _facts(arguments: argparse.Namespace, system: Any, folder: Any) -> dict[str, Any]:
    """Return what the figures were made of."""
    from ecg_fairseq.files import sha256_of_file

    return {
        "checkpoint": Path(arguments.checkpoint).name,
        "checkpoint_sha256": sha256_of_file(arguments.checkpoint),
        "network": system.trained.name,
        "pooling": arguments.pooling or system.default_pooling,
        "random_seed": arguments.random_seed,
        "dataset": folder.dataset,
        "recipe": dict(folder.recipe) if folder.recipe else None,
        "split_hash": folder.split_hash,
    }


def _write(out: Path, facts: dict[str, Any], table: str) -> None:
    from ecg_fairseq.files import atomic_write, write_json

    write_json(out / "probe.json", facts)
    with atomic_write(out / "probe.md") as stream:
        stream.write(table)
