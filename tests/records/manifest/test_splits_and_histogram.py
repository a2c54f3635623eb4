"""Splits keep patients and identical signals together; percentiles are exact and order-free."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.splits import (
    Member,
    groups_of,
    keep_fraction,
    split_as_published,
    split_by_patient,
    split_hash,
)
from ecg_fairseq.records.preparation.percentiles import (
    count_values,
    percentile,
    published_statistics,
    statistics_of,
)


def members(*entries):
    return [Member(f"r{number}", *entry) for number, entry in enumerate(entries)]


def test_groups_join_through_patients_and_signals():
    found = groups_of(members(("a", "x"), ("b", "y"), ("c", "x"), ("b", "z"), ("d", "z"), ("e",)))
    names = [sorted(member.record_id for member in group) for group in found]
    assert names == [["r0", "r2"], ["r1", "r3", "r4"], ["r5"]]


def test_published_sides_are_kept_unless_a_group_straddles():
    asked = members(("a", "x"), ("b", "y"), ("c", "x"), ("d", "w"))
    published = {"r0": "test", "r1": "valid", "r2": "train", "r3": "test"}
    result = split_as_published(asked, published)
    assert result.sides == {"r0": "train", "r1": "valid", "r2": "train", "r3": "test"}
    assert result.moves == [("r0", "test", "train")]
    with pytest.raises(ManifestError, match="r1"):
        split_as_published(asked, {**published, "r1": "dev"})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60)), min_size=3, max_size=80),
    st.integers(0, 5),
)
def test_no_group_is_divided_and_order_does_not_matter(pairs, seed):
    asked = [Member(f"r{i}", f"p{p}", f"s{s}") for i, (p, s) in enumerate(pairs)]
    sides = split_by_patient(asked, seed).sides
    for group in groups_of(asked):
        assert len({sides[member.record_id] for member in group}) == 1
    assert split_by_patient(asked[::-1], seed).sides == sides
    if len(groups_of(asked)) >= 3:
        assert set(sides.values()) == {"train", "valid", "test"}


def test_seeds_and_fractions():
    asked = [Member(f"r{i}", f"p{i}") for i in range(200)]
    first, second = split_by_patient(asked, 0).sides, split_by_patient(asked, 1).sides
    assert first != second
    assert sorted(first.values()).count("test") == 20
    with pytest.raises(ManifestError, match="add up to 1"):
        split_by_patient(asked, 0, (0.5, 0.1, 0.1))


def test_samples_of_patients_are_nested():
    names = [f"p{i}" for i in range(2000)]
    quarter = {name for name in names if keep_fraction(name, 0.25, 3)}
    half = {name for name in names if keep_fraction(name, 0.5, 3)}
    assert quarter < half
    assert 400 < len(quarter) < 600
    assert all(keep_fraction(name, 1.0, 3) for name in names)


def test_split_hash_depends_on_sides_only():
    assert split_hash({"a": "train", "b": "test"}) == split_hash({"b": "test", "a": "train"})
    assert split_hash({"a": "train", "b": "test"}) != split_hash({"a": "test", "b": "train"})


def test_percentiles_are_exact_to_a_microvolt():
    values = np.random.default_rng(0).normal(0, 0.4, 20001).astype(np.float32)
    whole = statistics_of(count_values(values))
    for percent in (1.0, 99.0):
        wanted = np.percentile(values.astype(np.float64), percent, method="inverted_cdf")
        assert abs(percentile(count_values(values), percent) - wanted) <= 0.0005 + 1e-9
    parts = sum(count_values(part) for part in np.array_split(values[::-1], 7))
    assert statistics_of(parts) == whole
    assert whole["num_values"] == 20001


def test_values_beyond_the_bins_count_at_the_ends():
    counts = count_values(np.array([-500.0, 0.0, 0.0, 900.0]))
    assert counts.sum() == 4
    assert percentile(counts, 1) == -32.001
    assert percentile(counts, 99) == 32.001
    with pytest.raises(ManifestError, match="no usable record"):
        percentile(count_values(np.empty(0)), 1)


def test_published_rule_sees_four_windows_only():
    windows = [np.full((12, 2500), float(number)) for number in range(9)]
    found = published_statistics(windows, seed=0)
    assert found["num_values"] == 100_000
    assert found["percentile_99"] == 3.0
    assert found["rule"] == "first-four-windows"
