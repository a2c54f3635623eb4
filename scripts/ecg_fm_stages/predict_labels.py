"""Score the test recordings with a finetuned classifier: the mean over each one's segments."""

import argparse
from pathlib import Path

import numpy as np

from ecg_fairseq.data.signals.embeddings import check_folder
from ecg_fairseq.data.signals.segment_folder import SegmentFolder
from ecg_fairseq.evaluation.labels.by_recording import Recordings
from ecg_fairseq.evaluation.labels.predictions import LabelPredictions, write_label_predictions
from ecg_fairseq.networks.encoders.trained_encoder import TrainedEncoder
from ecg_fairseq.networks.trained import load_trained_encoder
from ecg_fairseq.records.labels.label_files import LABEL_FOLDER, read_label_files
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.segments.segment_list import SegmentList


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="table of predictions to write")


def run(arguments: argparse.Namespace) -> None:
    """Write ``label_predictions.tsv`` under the name given."""
    system = load_trained_encoder(arguments.checkpoint)
    system.check_is_classifier()
    folder = SegmentFolder.open(arguments.manifest)
    check_folder(system, folder, external_test=True)
    segments = SegmentList.load(folder.tsv("test"))
    rows = segments.recording_ids()
    records = list(Manifest.load(arguments.manifest).records.values())
    recordings = Recordings.of(
        [records[row].record_id for row in rows], [records[row].patient_id for row in rows]
    )
    logits = recordings.mean(system.logits(stored_signals(system, segments)).astype(np.float64))
    names, values = read_label_files(arguments.manifest / LABEL_FOLDER)
    truth = recordings.labels(values[rows])
    predictions = LabelPredictions.from_logits(
        recordings.ids, recordings.patient_ids, names, logits, truth
    )
    write_label_predictions(arguments.out, predictions)
    print(f"{len(recordings)} recordings, {len(segments)} segments scored")


def stored_signals(system: TrainedEncoder, segments: SegmentList) -> np.ndarray:
    """Return float32 (N, L, T) of segments of one length; all in memory, 120 kB each."""
    stored = (segments.read(index) for index in range(len(segments)))
    return np.concatenate([system.signals.chosen(one.signal[None], one.leads) for one in stored])
