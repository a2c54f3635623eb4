"""Sampling training records by clusters of signal features (ECG-Byte fact sheet, section 1.7).

The idea is the reference's: describe every record by features, cluster, and draw equally from the
clusters, so that rare shapes reach the tokenizer. What differs: features are scaled before PCA, the
number of clusters comes from the silhouette of a seeded subsample over a short list instead of 199
full fits, mini-batch k-means bounds time, features are computed record by record, every draw is
seeded, and one record of a patient is not preferred over another's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_fairseq.errors import MissingDependencyError, TokenizerError
from ecg_fairseq.progress import track
from ecg_fairseq.tokenizer.training_text import TrainingText, manifest_text, with_origin

if TYPE_CHECKING:
    from ecg_fairseq.signal.recipe import Strip

CLUSTER_NUMBERS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
_KEPT_VARIANCE = 0.95
_SILHOUETTE_ROWS = 2000
_BANDS_HZ = ((0.0, 1.0), (1.0, 5.0), (5.0, 15.0), (15.0, 30.0), (30.0, 60.0), (60.0, 125.0))
_PEAK_SHARE = 0.5
_PEAK_DISTANCE_S = 0.2


def clustered_text(
    path: Path, boundary: str | None, sample: int | None, seed: int, progress: str = "silent"
) -> TrainingText:
    """Return a manifest's training text with records drawn equally from clusters of features.

    Raises:
        TokenizerError: not a manifest, or no sample size.
        MissingDependencyError: scikit-learn is not installed.
    """
    from ecg_fairseq.records.manifest.folder import Manifest

    if not path.is_dir() or sample is None:
        raise TokenizerError("--sampling cluster needs a manifest as --input and --sample N")
    manifest = Manifest.load(path)
    rows = list(manifest.split_records("train"))
    features = np.zeros((len(rows), len(feature_names(manifest.strips))))
    for i, row in enumerate(track(rows, len(rows), "records", progress)):
        features[i] = segment_features(manifest.segment(row.record_id, 0), manifest.strips)
    labels = cluster(features, seed)
    chosen = draw_equally(labels, sample, seed)
    ids = [rows[i].record_id for i in chosen]
    text = manifest_text(manifest, boundary or "record", sample, seed, ids)
    sizes = np.bincount(labels).tolist()
    return with_origin(
        text, clusters={"sizes": sizes, "drawn": np.bincount(labels[chosen]).tolist()}
    )


def feature_names(strips: "Sequence[Strip]") -> list[str]:
    """Return the names of the features, strip by strip."""
    shape = ["mean", "std", "min", "p25", "median", "p75", "max", "mean_step", "rms_step"]
    bands = [f"power_{low:g}_{high:g}_hz" for low, high in _BANDS_HZ]
    rhythm = ["spectral_centroid_hz", "peaks_per_s", "peak_interval_std_s"]
    return [
        f"{i}_{strip.lead}_{name}"
        for i, strip in enumerate(strips)
        for name in (*shape, *bands, *rhythm)
    ]


def segment_features(segment: np.ndarray, strips: "Sequence[Strip]") -> np.ndarray:
    """Return the float64 features of one segment in mV; values that are not finite become 0."""
    borders = np.cumsum([0, *(strip.num_samples for strip in strips)])
    flat = np.nan_to_num(np.asarray(segment, dtype=np.float64).reshape(-1))
    parts = [
        _strip_features(flat[borders[i] : borders[i + 1]], strip.fs_hz)
        for i, strip in enumerate(strips)
    ]
    return np.nan_to_num(np.concatenate(parts))


def _strip_features(values: np.ndarray, fs_hz: float) -> np.ndarray:
    from scipy.signal import find_peaks

    steps = np.diff(values) if len(values) > 1 else np.zeros(1)
    shape = [values.mean(), values.std(), *np.percentile(values, [0, 25, 50, 75, 100])]
    power = np.abs(np.fft.rfft(values - values.mean())) ** 2
    frequencies = np.fft.rfftfreq(len(values), 1 / fs_hz)
    total = power.sum() or 1.0
    bands = [
        np.log10(1e-12 + power[(frequencies >= low) & (frequencies < high)].sum() / total)
        for low, high in _BANDS_HZ
    ]
    distance = max(1, round(_PEAK_DISTANCE_S * fs_hz))
    # a flat or negative strip has no height to compare with: half of its range above its minimum
    height = values.min() + _PEAK_SHARE * (values.max() - values.min())
    peaks = find_peaks(values, height=height, distance=distance)[0]
    intervals = np.diff(peaks) / fs_hz
    rhythm = [
        (power * frequencies).sum() / total,
        len(peaks) * fs_hz / len(values),
        intervals.std() if len(intervals) else 0.0,
    ]
    step_sizes = [np.abs(steps).mean(), np.sqrt((steps**2).mean())]
    return np.array([*shape, *step_sizes, *bands, *rhythm])


def cluster(features: np.ndarray, seed: int) -> np.ndarray:
    """Return the cluster of each row, numbered from 0; fewer than four rows are one cluster.

    Args:
        features: float (N, F).
        seed: of PCA, k-means and the silhouette's subsample.
    """
    try:
        from sklearn.cluster import MiniBatchKMeans
        from sklearn.decomposition import PCA
        from sklearn.metrics import silhouette_score
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise MissingDependencyError(
            "--sampling cluster needs scikit-learn: pip install scikit-learn"
        ) from error
    if len(features) < 4 or np.ptp(features, axis=0).max() == 0:
        return np.zeros(len(features), dtype=np.int64)
    scaled = StandardScaler().fit_transform(features)
    reduced = PCA(_KEPT_VARIANCE, svd_solver="full", random_state=seed).fit_transform(scaled)
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(reduced))[:_SILHOUETTE_ROWS]
    best, best_labels = -np.inf, np.zeros(len(features), dtype=np.int64)
    for number in CLUSTER_NUMBERS:
        if number >= len(features):
            break
        fit = MiniBatchKMeans(number, random_state=seed, n_init=3, batch_size=1024)
        labels = fit.fit_predict(reduced)
        present = len(np.unique(labels[rows]))
        if 2 <= present < len(rows):
            score = silhouette_score(reduced[rows], labels[rows])
            if score > best:
                best, best_labels = score, labels
    return np.unique(best_labels, return_inverse=True)[1].astype(np.int64)


def draw_equally(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Return sorted indices of ``size`` rows, in rounds of one row from every cluster left."""
    generator = np.random.default_rng(seed)
    waiting = [
        generator.permutation(np.flatnonzero(labels == label)).tolist()
        for label in np.unique(labels)
    ]
    chosen: list[int] = []
    while len(chosen) < min(size, len(labels)):
        waiting = [rows for rows in waiting if rows]
        for rows in waiting[: size - len(chosen)]:
            chosen.append(rows.pop())
    return np.array(sorted(chosen), dtype=np.int64)
