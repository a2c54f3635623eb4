"""Fit linear probes on a frozen encoder and write their predictions, a file for each draw."""

import argparse
import json
from pathlib import Path

import numpy as np

from ecg_fairseq.data.signals.embeddings import EmbeddingOptions, embed_folder
from ecg_fairseq.data.signals.segment_folder import SegmentFolder
from ecg_fairseq.errors import EcgError
from ecg_fairseq.evaluation.labels.linear_probe import ProbeData, ProbeResult, probe_fractions
from ecg_fairseq.evaluation.labels.predictions import LabelPredictions, write_label_predictions
from ecg_fairseq.networks.encoders.trained_encoder import TrainedEncoder, random_encoder
from ecg_fairseq.networks.trained import load_trained_encoder
from ecg_fairseq.records.labels.label_files import LABEL_FOLDER, read_label_files
from ecg_fairseq.records.record_row import SPLITS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--random", action="store_true", help="random weights instead of its own")
    parser.add_argument("--percents", default="1,10,100", help="of the labelled patients")
    parser.add_argument("--draws", type=int, default=5, help="of the patients of a share")
    parser.add_argument("--seed", type=int, default=1, help="of the first draw of patients")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(arguments: argparse.Namespace) -> None:
    """Write ``PERCENT_DRAW.tsv`` for each probe."""
    system = load_trained_encoder(arguments.checkpoint)
    if arguments.random:
        system = random_encoder(system, arguments.seed)
    names, values = read_label_files(arguments.manifest / LABEL_FOLDER)
    folder = SegmentFolder.open(arguments.manifest)
    splits = [_split(system, folder, split, values) for split in SPLITS]
    try:
        percents = [float(text) for text in arguments.percents.split(",")]
    except ValueError:
        raise EcgError(f"--percents {arguments.percents}; expected numbers as in 1,100") from None
    seeds = range(arguments.seed, arguments.seed + arguments.draws)
    found = probe_fractions(*splits, fractions=[p / 100 for p in percents], seeds=list(seeds))
    for percent, results in zip(percents, found.values(), strict=True):
        for draw, result in enumerate(results):
            _write(arguments.out / f"{percent:g}_{draw}.tsv", result, names)


def _split(
    system: TrainedEncoder, folder: SegmentFolder, split: str, values: np.ndarray
) -> ProbeData:
    embeddings = embed_folder(system, folder, [split], EmbeddingOptions(progress="silent"))
    return ProbeData(
        embeddings.values,
        values[embeddings.idx],
        embeddings.record_ids.tolist(),
        embeddings.patient_ids.tolist(),
    ).by_recording()


def _write(path: Path, result: ProbeResult, names: tuple[str, ...]) -> None:
    predictions = LabelPredictions.from_logits(
        result.recording_ids, result.patient_ids, names, result.scores, result.labels
    )
    write_label_predictions(path, predictions)
    facts = {
        "file": path.name,
        "patients": result.num_patients,
        "recordings": result.num_recordings,
        "strength": result.strength,
        "labels_not_learnt": [names[k] for k in result.skipped],
        "unconverged": result.num_unconverged,
    }
    print(json.dumps(facts))
