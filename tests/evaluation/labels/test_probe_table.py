"""The probe's table: an encoder that knows the label, beside one that knows nothing."""

import json

import numpy as np
import pytest

from ecg_fairseq.evaluation.labels.linear_probe import ProbeData, probe_fractions
from ecg_fairseq.evaluation.labels.probe_table import (
    DIFFERENCE,
    ENCODER,
    RANDOM,
    compare_probes,
    comparison_markdown,
)


def sides(knows_label: bool, num_records: int = 60) -> list[ProbeData]:
    """Return train, valid and test; of the labels the second is never true in training."""
    rng, found = np.random.default_rng(4), []
    for number, name in enumerate(("train", "valid", "test")):
        truth = rng.integers(0, 2, num_records).astype(float)
        rare = np.zeros(num_records) if name == "train" else truth
        values = rng.normal(size=(num_records, 4))
        if knows_label:
            values[:, 1] += 8 * truth
        ids = [f"{name}{k}" for k in range(num_records)]
        patients = [f"{number}-{k // 2}" for k in range(num_records)]
        found.append(ProbeData(values, np.stack([truth, rare], axis=1), ids, patients))
    return found


@pytest.fixture(scope="module")
def comparisons():
    probes = [probe_fractions(*sides(knows), (0.1, 1.0), (1, 2, 3)) for knows in (True, False)]
    return compare_probes(*probes, ("known", "never"), num_resamples=50)


def test_what_the_encoder_knows_shows_as_a_difference(comparisons):
    few, whole = comparisons
    assert (few.fraction, few.num_patients, few.num_recordings) == (0.1, 3, (6, 6, 6))
    assert (whole.fraction, whole.num_patients, whole.num_recordings) == (1.0, 30, (60,))
    known = {name: table.labels[0] for name, table in whole.tables.items()}
    assert known[ENCODER].auroc > 0.99
    assert 0.3 < known[RANDOM].auroc < 0.7
    assert known[DIFFERENCE].auroc == pytest.approx(known[ENCODER].auroc - known[RANDOM].auroc)
    assert known[DIFFERENCE].auroc_low > 0.2
    assert whole.skipped == ("never",)
    assert np.isnan(whole.tables[ENCODER].labels[1].auroc)


def test_table_and_json_hold_every_fraction(comparisons):
    text = comparison_markdown(comparisons)
    lines = [line for line in text.splitlines() if line.startswith(("| 3 ", "| 30 "))]
    assert [line.split(" | ")[1] for line in lines] == [ENCODER, RANDOM, DIFFERENCE] * 2
    assert lines[0].startswith("| 3 (10 %)")
    assert " ± " in lines[0]
    assert " ± " not in lines[3]
    assert "without a figure in every run: never" in text
    value = json.loads(json.dumps([one.to_dict() for one in comparisons]))
    assert [one["fraction"] for one in value] == [0.1, 1.0]
    assert set(value[0]["tables"]) == {ENCODER, RANDOM, DIFFERENCE}
    assert len(value[0]["strengths"][ENCODER]) == 3
