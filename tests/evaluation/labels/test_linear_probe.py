"""Linear probe: finds a planted direction, draws patients, never looks at the test side."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.labels.auroc import label_scores
from ecg_fairseq.evaluation.labels.linear_probe import (
    STRENGTHS,
    ProbeData,
    probe,
    probe_fractions,
    stacked_scores,
)

pytest.importorskip("sklearn")

WIDTH = 6


def side(name: str, num_patients: int, seed: int, noise: float = 0.5) -> ProbeData:
    """Two recordings a patient; label k is the sign of feature k, whose scale is 1000 ** k."""
    generator = np.random.default_rng(seed)
    hidden = generator.standard_normal((2 * num_patients, WIDTH))
    embeddings = hidden * 1000.0 ** np.arange(WIDTH) + 7.0
    labels = hidden[:, :3] + noise * generator.standard_normal((2 * num_patients, 3)) > 0
    patients = [f"{name}{i // 2}" for i in range(2 * num_patients)]
    recordings = [f"{name}-r{i}" for i in range(2 * num_patients)]
    return ProbeData(embeddings, labels.astype(float), recordings, patients)


TRAIN, VALID, TEST = side("t", 150, 1), side("v", 40, 2), side("e", 60, 3)


def test_planted_directions_are_found_whatever_their_scale() -> None:
    found = probe(TRAIN, VALID, TEST)
    assert label_scores(found.labels, found.scores).auroc.min() > 0.9
    assert found.num_patients == 150
    assert found.num_recordings == 300
    assert found.skipped == ()
    assert found.num_unconverged == 0
    assert found.strength == STRENGTHS[int(np.argmax(found.valid_auroc))]
    assert found.recording_ids == tuple(TEST.recording_ids)


def test_equals_scikit_learn_by_hand() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = probe(TRAIN, VALID, TEST)
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=found.strength, tol=1e-8, max_iter=5000)
    )
    for k in range(3):
        model.fit(TRAIN.embeddings, TRAIN.labels[:, k])
        assert found.scores[:, k] == pytest.approx(
            model.decision_function(TEST.embeddings), abs=0.02
        )


def test_fractions_are_of_labelled_patients_and_nested() -> None:
    labels = TRAIN.labels.copy()
    labels[:100] = np.nan  # the first 50 patients
    train = replace(TRAIN, labels=labels)
    tenth = probe(train, VALID, TEST, fraction=0.1, seed=4)
    assert tenth.num_patients == 10
    assert tenth.num_recordings == 20
    again = probe(train, VALID, TEST, fraction=0.1, seed=4)
    assert np.array_equal(tenth.scores, again.scores)
    other = probe(train, VALID, TEST, fraction=0.1, seed=5)
    assert not np.array_equal(tenth.scores, other.scores)
    assert probe(train, VALID, TEST, fraction=0.001).num_patients == 1


def test_test_labels_change_no_score() -> None:
    flipped = replace(TEST, labels=1 - TEST.labels)
    assert np.array_equal(probe(TRAIN, VALID, TEST).scores, probe(TRAIN, VALID, flipped).scores)


def test_label_with_one_value_in_the_subset_is_skipped() -> None:
    labels = TRAIN.labels.copy()
    labels[:, 1] = 0
    found = probe(replace(TRAIN, labels=labels), VALID, TEST)
    assert found.skipped == (1,)
    assert np.isnan(found.scores[:, 1]).all()
    assert np.isfinite(found.scores[:, [0, 2]]).all()
    everything = probe(replace(TRAIN, labels=np.ones_like(labels)), VALID, TEST)
    assert everything.skipped == (0, 1, 2)
    assert all(math.isnan(value) for value in everything.valid_auroc)
    assert np.isnan(everything.scores).all()


def test_unlabelled_rows_of_one_label_are_left_out_of_it_alone() -> None:
    labels = TRAIN.labels.copy()
    labels[::2, 0] = np.nan
    found = probe(replace(TRAIN, labels=labels), VALID, TEST)
    whole = probe(TRAIN, VALID, TEST)
    if found.strength == whole.strength:
        assert np.array_equal(found.scores[:, 1:], whole.scores[:, 1:])
    assert not np.array_equal(found.scores[:, 0], whole.scores[:, 0])


def test_segments_count_once() -> None:
    # Three segments a recording around the recording's embedding: the mean is what is probed.
    offsets = np.array([-1.0, 0.0, 1.0])[:, None]
    rows = np.concatenate([row + offsets for row in TEST.embeddings])
    segments = ProbeData(
        rows,
        np.repeat(TEST.labels, 3, axis=0),
        [name for name in TEST.recording_ids for _ in range(3)],
        [name for name in TEST.patient_ids for _ in range(3)],
    )
    found = probe(TRAIN, VALID, segments)
    assert found.scores == pytest.approx(probe(TRAIN, VALID, TEST).scores, abs=1e-9)


def test_constant_features_do_no_harm() -> None:
    def widened(data: ProbeData) -> ProbeData:
        constant = np.full((len(data.embeddings), 1), 3.3)
        return replace(data, embeddings=np.hstack([data.embeddings, constant]))

    found = probe(*map(widened, (TRAIN, VALID, TEST)))
    assert found.scores == pytest.approx(probe(TRAIN, VALID, TEST).scores, abs=0.02)


def test_all_patients_make_one_probe() -> None:
    found = probe_fractions(TRAIN, VALID, TEST, fractions=(0.1, 1.0), seeds=(1, 2, 3))
    assert {fraction: len(results) for fraction, results in found.items()} == {0.1: 3, 1.0: 1}
    assert stacked_scores(found[0.1]).shape == (3, 120, 3)
    assert [result.seed for result in found[0.1]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ((replace(TRAIN, embeddings=TRAIN.embeddings * np.nan), VALID, TEST), "not finite"),
        ((TRAIN, VALID, TRAIN), "both in train and in test"),
        ((replace(TRAIN, labels=TRAIN.labels[:, :2]), VALID, TEST), "one label set"),
        ((replace(TRAIN, labels=TRAIN.labels * np.nan), VALID, TEST), "nothing to learn"),
        ((replace(TRAIN, recording_ids=["a"]), VALID, TEST), "recording ids"),
    ],
)
def test_what_cannot_be_probed_is_said(sides: tuple[ProbeData, ...], message: str) -> None:
    with pytest.raises(ScoreError, match=message):
        probe(*sides)


def test_fraction_outside_its_range_is_refused() -> None:
    with pytest.raises(ScoreError, match="above 0"):
        probe(TRAIN, VALID, TEST, fraction=0.0)


def test_weak_regularisation_is_tried_too() -> None:
    assert STRENGTHS[-1] == 1e3
    assert list(STRENGTHS) == sorted(STRENGTHS)
    # A direction of little variance beside a strong one that says nothing: only a weak penalty
    # lets the probe use it.
    generator = np.random.default_rng(0)

    def split(num: int, first: int) -> ProbeData:
        labels = (generator.random((num, 1)) < 0.5).astype(float)
        noise = 3 * generator.standard_normal((num, 1))
        features = np.hstack(
            [noise, noise + 0.02 * (labels + 0.3 * generator.standard_normal((num, 1)))]
        )
        names = [f"p{first + i}" for i in range(num)]
        return ProbeData(features, labels, names, names)

    found = probe(split(400, 0), split(400, 1000), split(400, 2000))
    assert found.strength > 1.0
    assert label_scores(found.labels, found.scores).auroc_macro > 0.95
