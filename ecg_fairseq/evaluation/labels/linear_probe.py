"""Linear probe: logistic regression on frozen embeddings, at fractions of the labelled patients.

What a linear layer reads out of an encoder is what the encoder knows. Rows of one recording are
averaged first (the logit of a mean embedding is the mean of the logits), features are standardised
by the training rows, and one strength of regularisation for all labels is chosen on validation.
Nothing here builds a network: `ecg-fairseq embed` makes the embeddings.
"""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import MissingDependencyError, ScoreError
from ecg_fairseq.evaluation.labels.auroc import label_scores
from ecg_fairseq.evaluation.labels.by_recording import Recordings

DEFAULT_FRACTIONS = (0.01, 0.1, 1.0)
DEFAULT_SEEDS = (1, 2, 3, 4, 5)
# Inverse strengths, strongest first; a tie on validation goes to the stronger.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
_DEFAULT_STRENGTH = 1e-2
_MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class ProbeData:
    """Embeddings of one split.

    Attributes:
        embeddings: (N, D), one row a segment or a recording.
        labels: (N, K) of 0 and 1; NaN where nobody labelled.
        recording_ids: N; equal ones are segments of one recording.
        patient_ids: N.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    recording_ids: Sequence[str]
    patient_ids: Sequence[str]

    def by_recording(self) -> "ProbeData":
        """Return one row a recording: the mean of its segments.

        Raises:
            ScoreError: lengths differ, embeddings are not finite, or labels are no labels.
        """
        embeddings = np.asarray(self.embeddings, dtype=np.float64)
        if embeddings.ndim != 2 or len(embeddings) != len(self.recording_ids):
            raise ScoreError(
                f"embeddings {embeddings.shape} must be (N, D) with N = {len(self.recording_ids)} "
                "recording ids"
            )
        if not np.isfinite(embeddings).all():
            rows = int((~np.isfinite(embeddings)).any(axis=1).sum())
            raise ScoreError(
                f"{rows} of {len(embeddings)} embeddings are not finite: signals with NaN or a "
                "model that diverged; leave them out or embed them again"
            )
        recordings = Recordings.of(self.recording_ids, self.patient_ids)
        return ProbeData(
            recordings.mean(embeddings),
            recordings.labels(self.labels),
            recordings.ids,
            recordings.patient_ids,
        )


@dataclass(frozen=True)
class ProbeResult:
    """What a probe says about the test recordings.

    Attributes:
        scores: float64 (R, K) logits; a column of NaN for each label in ``skipped``.
        labels: float64 (R, K) of 0, 1 and NaN.
        recording_ids: R, in order of their first row.
        patient_ids: R.
        fraction: of the labelled training patients.
        seed: that drew them; a smaller fraction with the same seed is part of a larger one.
        num_patients: that were trained on.
        num_recordings: that were trained on.
        skipped: columns that were all 0 or all 1 in the training rows.
        strength: inverse strength of regularisation that was chosen.
        valid_auroc: macro AUROC on validation for each of ``STRENGTHS``; NaN when it has none, and
            the default strength is then taken.
        num_unconverged: fits of the chosen strength that stopped before they converged.
    """

    scores: np.ndarray
    labels: np.ndarray
    recording_ids: tuple[str, ...]
    patient_ids: tuple[str, ...]
    fraction: float
    seed: int
    num_patients: int
    num_recordings: int
    skipped: tuple[int, ...]
    strength: float
    valid_auroc: tuple[float, ...]
    num_unconverged: int


def probe(
    train: ProbeData, valid: ProbeData, test: ProbeData, fraction: float = 1.0, seed: int = 1
) -> ProbeResult:
    """Fit on a fraction of the labelled training patients and score the test recordings.

    Args:
        train: the rows to learn from.
        valid: chooses the strength of regularisation; used whole, whatever the fraction.
        test: scored once.
        fraction: share of patients with a labelled recording, rounded up.
        seed: of the draw of patients.

    Raises:
        ScoreError: shapes do not fit, or a split is empty.
        MissingDependencyError: scikit-learn is not installed.
    """
    if not 0 < fraction <= 1:
        raise ScoreError(f"a fraction of {fraction} of the patients; expected above 0, at most 1")
    train, valid, test = (split.by_recording() for split in (train, valid, test))
    _check_splits(train, valid, test)
    chosen, num_patients = _draw(train, fraction, seed)
    features, labels = train.embeddings[chosen], train.labels[chosen]
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale <= 1e-8 * np.abs(mean) + 1e-12] = 1.0
    features = (features - mean) / scale
    splits = [(split.embeddings - mean) / scale for split in (valid, test)]
    on_valid, on_test, unconverged, skipped = _fit_all(features, labels, *splits)
    aurocs = tuple(_macro_auroc(valid.labels, scores) for scores in on_valid)
    best = _best(aurocs)
    return ProbeResult(
        scores=on_test[best],
        labels=test.labels,
        recording_ids=tuple(test.recording_ids),
        patient_ids=tuple(test.patient_ids),
        fraction=fraction,
        seed=seed,
        num_patients=num_patients,
        num_recordings=int(chosen.sum()),
        skipped=skipped,
        strength=STRENGTHS[best],
        valid_auroc=aurocs,
        num_unconverged=int(unconverged[best]),
    )


def probe_fractions(
    train: ProbeData,
    valid: ProbeData,
    test: ProbeData,
    fractions: Sequence[float] = DEFAULT_FRACTIONS,
    seeds: Sequence[int] = DEFAULT_SEEDS,
) -> dict[float, list[ProbeResult]]:
    """Return fraction -> the probe with each seed; all patients make one probe, not several."""
    train, valid, test = (split.by_recording() for split in (train, valid, test))
    return {
        fraction: [
            probe(train, valid, test, fraction, seed)
            for seed in (seeds if fraction < 1 else seeds[:1])
        ]
        for fraction in fractions
    }


def stacked_scores(results: Sequence[ProbeResult]) -> np.ndarray:
    """Return scores of several seeds (S, R, K), as ``label_table`` averages them."""
    return np.stack([result.scores for result in results])


def _check_splits(train: ProbeData, valid: ProbeData, test: ProbeData) -> None:
    shapes = [(split.embeddings.shape[1], split.labels.shape[1]) for split in (train, valid, test)]
    if len(set(shapes)) > 1:
        raise ScoreError(
            f"train, valid and test have (features, labels) {shapes}; all splits must be embedded "
            "by one encoder and labelled by one label set"
        )
    for name, split in (("train", train), ("valid", valid), ("test", test)):
        if not len(split.embeddings):
            raise ScoreError(f"the {name} split has no recording; a probe needs all three splits")
    shared = set(train.patient_ids) & set(test.patient_ids)
    if shared:
        raise ScoreError(
            f"{len(shared)} patients are both in train and in test, such as {min(shared)}; split "
            "by patient"
        )


def _draw(train: ProbeData, fraction: float, seed: int) -> tuple[np.ndarray, int]:
    """Return which training recordings are used, bool (R,), and of how many patients."""
    is_labelled = ~np.isnan(train.labels).all(axis=1)
    patients = np.asarray(train.patient_ids, dtype=object)
    if not is_labelled.any():
        raise ScoreError("no training recording is labelled; there is nothing to learn from")
    drawn = drawn_patients(patients[is_labelled], fraction, seed)
    return is_labelled & np.array([name in drawn for name in patients]), len(drawn)


def drawn_patients(names: Iterable[str], fraction: float, seed: int) -> set[str]:
    """Draw a share of the patients, rounded up; with one seed a smaller share is part of a larger.

    Args:
        names: of patients, in any order; repetitions count once.
        fraction: above 0, at most 1.
        seed: of the draw.
    """
    distinct = sorted(set(names))
    # Rounding guards against 0.1 * 30 = 3.0000000000000004, of which the ceiling is 4.
    count = math.ceil(round(fraction * len(distinct), 9))
    order = np.random.default_rng(seed).permutation(len(distinct))
    return {distinct[i] for i in order[:count]}


def _fit_all(
    features: np.ndarray, labels: np.ndarray, valid: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return logits on both splits (C, R, K), unconverged fits (C,), and labels skipped."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as cause:
        raise MissingDependencyError(
            "a linear probe needs scikit-learn: pip install 'ecg_fairseq[metrics]'"
        ) from cause

    num_labels = labels.shape[1]
    on_valid = np.full((len(STRENGTHS), len(valid), num_labels), np.nan)
    on_test = np.full((len(STRENGTHS), len(test), num_labels), np.nan)
    unconverged = np.zeros(len(STRENGTHS), dtype=np.int64)
    skipped = []
    for k in range(num_labels):
        rows = ~np.isnan(labels[:, k])
        truth = labels[rows, k].astype(bool)
        if truth.all() or not truth.any():
            skipped.append(k)
            continue
        # Each fit starts where the stronger one ended; the optimum does not depend on it.
        model = LogisticRegression(warm_start=True, max_iter=_MAX_ITERATIONS)
        for number, strength in enumerate(STRENGTHS):
            model.set_params(C=strength)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(features[rows], truth)
            unconverged[number] += int(model.n_iter_[0] >= _MAX_ITERATIONS)
            on_valid[number, :, k] = model.decision_function(valid)
            on_test[number, :, k] = model.decision_function(test)
    return on_valid, on_test, unconverged, tuple(skipped)


def _macro_auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean over labels with a score and both values."""
    values = []
    for k in range(labels.shape[1]):
        rows = ~np.isnan(labels[:, k]) & ~np.isnan(scores[:, k])
        if rows.any():
            values.append(label_scores(labels[rows, k : k + 1], scores[rows, k : k + 1]).auroc[0])
    kept = [value for value in values if not np.isnan(value)]
    return float(np.mean(kept)) if kept else math.nan


def _best(aurocs: Sequence[float]) -> int:
    """Return the number of the best strength; the default one when validation says nothing."""
    if all(math.isnan(value) for value in aurocs):
        return STRENGTHS.index(_DEFAULT_STRENGTH)
    return int(np.nanargmax(aurocs))
