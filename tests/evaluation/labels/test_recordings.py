"""Segments become recordings: means, maxima, and what cannot be put together."""

import numpy as np
import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.labels.by_recording import PUBLISHED_MAX_LABELS, Recordings

IDS = ["b", "a", "b", "c", "b"]
PATIENTS = ["q", "p", "q", "p", "q"]
NAMES = ("Sinus rhythm", "Electronic pacemaker")


def test_mean_and_maximum_by_hand() -> None:
    found = Recordings.of(IDS, PATIENTS)
    assert found.ids == ("b", "a", "c")
    assert found.patient_ids == ("q", "p", "p")
    scores = np.array([[1.0, -1.0], [5.0, 6.0], [2.0, 4.0], [7.0, 8.0], [6.0, 0.0]])
    assert found.scores(scores).tolist() == [[3.0, 1.0], [5.0, 6.0], [7.0, 8.0]]
    with_maximum = found.scores(scores, NAMES, PUBLISHED_MAX_LABELS)
    assert with_maximum.tolist() == [[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]
    runs = found.scores(np.stack([scores, 2 * scores]), NAMES, PUBLISHED_MAX_LABELS)
    assert np.array_equal(runs[0], with_maximum)
    assert np.array_equal(runs[1], 2 * with_maximum)


def test_labels_of_segments_must_agree() -> None:
    found = Recordings.of(IDS, PATIENTS)
    labels = np.array([[1, 0], [0, 0], [1, 0], [np.nan, 1], [1, 0]])
    assert np.array_equal(found.labels(labels), [[1, 0], [0, 0], [np.nan, 1]], equal_nan=True)
    labels[4, 1] = 1
    with pytest.raises(ScoreError, match="recording b have different labels"):
        found.labels(labels)
    labels[4, 1] = 0.5
    with pytest.raises(ScoreError, match=r"label 0\.5"):
        found.labels(labels)


def test_recording_of_two_patients_is_refused() -> None:
    with pytest.raises(ScoreError, match=r"recording b .* patients q and p"):
        Recordings.of(IDS, [*PATIENTS[:4], "p"])
    with pytest.raises(ScoreError, match="5 recording ids and 4"):
        Recordings.of(IDS, PATIENTS[:4])
