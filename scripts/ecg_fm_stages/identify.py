"""Find patients of the test split in a gallery: by signals, by typical beats, by embeddings.

The first segment of a person's first visit is in the gallery, that of the second visit looks for
it. All rows see the same z-scored segments. Signals of two visits are not aligned, so their cosine
is the weakest rival of an encoder; the strongest is the typical QRS, which heart rate changes
least. Its window and band were chosen on patients of another seed (7; 120 patients: QRS 0.57, whole
beat 0.25, signal 0.02).
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.data.signals.segment_folder import SegmentFolder
from ecg_fairseq.evaluation.identification import unit_rows
from ecg_fairseq.evaluation.intervals import bootstrap_interval
from ecg_fairseq.files import write_json
from ecg_fairseq.networks.encoders.trained_encoder import random_encoder
from ecg_fairseq.networks.trained import load_trained_encoder
from ecg_fairseq.records.segments.segment_list import IdentificationList
from ecg_fairseq.signal.beats import QRS_BAND_HZ, BeatWindow, detect_beats, median_beat
from ecg_fairseq.signal.filters import butterworth, zero_phase
from ecg_fm_stages.predict_labels import stored_signals

# Row -> seconds before and after the steepest part of the QRS.
_BEATS_S = {"typical beat": (0.20, 0.40), "typical QRS": (0.06, 0.10)}
_CORE_S = (0.06, 0.08)
_MAX_SHIFT_S = 0.02
_BAND_HZ = (0.67, 20.0)
_SEED_OF_DRAWS = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--pretrained", type=Path, required=True)
    parser.add_argument("--finetuned", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1, help="of the random encoder")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")


def run(arguments: argparse.Namespace) -> None:
    """Write the accuracies with intervals by person."""
    pretrained = load_trained_encoder(arguments.pretrained)
    finetuned = load_trained_encoder(arguments.finetuned)
    folder = SegmentFolder.open(arguments.manifest, "identification")
    lists = [IdentificationList.load(folder.tsv(f"test_{part}")) for part in ("gallery", "probe")]
    parts = [stored_signals(pretrained, segments) for segments in lists]
    fs_hz = pretrained.recipe.strips[0].fs_hz
    features = {
        "signal": [part.reshape(len(part), -1) for part in parts],
        **{
            name: [np.stack([beat_of(one, fs_hz, window_s) for one in part]) for part in parts]
            for name, window_s in _BEATS_S.items()
        },
    }
    encoders = {
        "random encoder": random_encoder(pretrained, arguments.seed),
        "pretrained encoder": pretrained,
        "pretrained + finetuned": finetuned,
    }
    for name, system in encoders.items():
        features[name] = [system.embeddings(part) for part in parts]
    patients = [segments.label_ids for segments in lists]
    rows = [{"system": name, **accuracy(*pair, *patients)} for name, pair in features.items()]
    chance = float(np.mean([(patients[0] == one).mean() for one in patients[1]]))
    write_json(
        arguments.out,
        {"gallery": len(patients[0]), "probes": len(patients[1]), "chance": chance, "rows": rows},
    )


def beat_of(signal: np.ndarray, fs_hz: float, window_s: tuple[float, float]) -> np.ndarray:
    """Return the typical beat, each lead about its mean and of length 1, flat (L * samples).

    Args:
        signal: (L, T) of a segment.
        fs_hz: its rate.
        window_s: seconds before and after the QRS.
    """
    windows = [
        BeatWindow(round(before * fs_hz), round(after * fs_hz))
        for before, after in (window_s, _CORE_S)
    ]
    exact = signal.astype(np.float64)
    positions = detect_beats(_band(exact, QRS_BAND_HZ, fs_hz), fs_hz)
    clean = _band(exact, _BAND_HZ, fs_hz)
    beat = median_beat(clean, positions, *windows, round(_MAX_SHIFT_S * fs_hz))
    return unit_rows(beat - beat.mean(axis=1, keepdims=True)).ravel()


def _band(signal: np.ndarray, edges_hz: tuple[float, float], fs_hz: float) -> np.ndarray:
    return zero_phase(signal, butterworth(2, edges_hz, "bandpass", fs_hz))


def accuracy(
    gallery: np.ndarray,
    probes: np.ndarray,
    gallery_patients: np.ndarray,
    probe_patients: np.ndarray,
) -> dict[str, Any]:
    """Return the share of probes whose nearest gallery entry, by cosine, is of their own patient.

    Args:
        gallery: (G, D).
        probes: (P, D).
        gallery_patients: int (G,).
        probe_patients: int (P,).

    Returns:
        ``accuracy`` and its 95 % interval over resampled probes, ``low`` and ``high``; the gallery
        stays as it is.
    """
    likeness = unit_rows(probes) @ unit_rows(gallery).T
    is_right = (gallery_patients[likeness.argmax(axis=1)] == probe_patients).astype(float)
    names = [[str(patient)] for patient in probe_patients]
    low, high = bootstrap_interval(is_right, names, seed=_SEED_OF_DRAWS)
    return {"accuracy": float(is_right.mean()), "low": low, "high": high}
