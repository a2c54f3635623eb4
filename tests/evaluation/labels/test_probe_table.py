"""The probe's table: an encoder that knows the label, beside one that knows nothing."""

import json
from dataclasses import replace

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


def test_all_rows_are_over_the_labels_of_every_draw():
    """A label that one draw of three lacks counts in no row."""
    probes = [probe_fractions(*sides(knows), (1.0,), (1, 2, 3)) for knows in (True, False)]
    for results in probes:
        first, second, third = results[1.0] * 3
        learnt = [replace(one, scores=one.scores.copy()) for one in (first, second)]
        for one in learnt:
            one.scores[:, 1] = one.scores[::-1, 0]
        results[1.0] = [*learnt, third]
    (found,) = compare_probes(*probes, ("known", "never"), num_resamples=20)
    encoder, random, difference = (found.tables[name] for name in (ENCODER, RANDOM, DIFFERENCE))
    for table in found.tables.values():
        assert table.unscored == ("never",)
        assert table.macro.auroc == table.labels[0].auroc
    for row in ("macro", "micro"):
        gap = getattr(encoder, row).auroc - getattr(random, row).auroc
        assert getattr(difference, row).auroc == pytest.approx(gap)
        gap = getattr(encoder, row).auprc - getattr(random, row).auprc
        assert getattr(difference, row).auprc == pytest.approx(gap)


def test_few_test_patients_are_said(comparisons):
    assert comparisons[0].notes == ()
    probes = [
        probe_fractions(*sides(knows, num_records=18), (1.0,), (1,)) for knows in (False, False)
    ]
    found = compare_probes(*probes, ("known", "never"), num_resamples=20)
    assert found[0].tables[DIFFERENCE].num_patients == 9
    assert "100 %: Few patients: 9 in the test split" in comparison_markdown(found)
    assert found[0].to_dict()["notes"] == list(found[0].notes)
    table = found[0].tables[DIFFERENCE]
    whole = replace(table, macro=replace(table.macro, auroc_low=-1.0, auroc_high=1.0))
    wide = replace(found[0], tables={**found[0].tables, DIFFERENCE: whole})
    assert "holds every possible difference" in comparison_markdown([wide])
