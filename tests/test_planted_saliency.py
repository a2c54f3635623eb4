"""Saliency joined over a recording, and the measurement on planted ST elevation."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_encoders import save_encoder, save_record

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.encoders.record_saliency import (
    METHODS,
    for_display,
    record_saliency,
    segment_saliency,
    smoothed,
)
from ecg_fairseq.networks.trained import load_trained_encoder
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.signal.leads import CANONICAL_LEADS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from planted_saliency import measure as saliency_truth
from planted_saliency.measure import measure, planted_records, summary

CHEST = slice(6, 10)


@pytest.fixture
def system(tmp_path: Path):
    save_encoder(tmp_path / "c.pt")
    return load_trained_encoder(tmp_path / "c.pt")


@pytest.fixture
def record(tmp_path: Path):
    return read_record(save_record(tmp_path / "rec.npy", seconds=12.0))


@pytest.mark.parametrize("method", METHODS)
def test_maps_stand_at_the_recordings_samples(method: str, system, record) -> None:
    found = record_saliency(system, record, method, label=1)
    assert found.shape == record.signal.shape
    assert np.isfinite(found[:, :5000]).all()
    assert np.isnan(found[:, 5000:]).all()
    shown = for_display(found, method)
    low = -1.0 if method in ("gradient", "integrated") else 0.0
    assert np.nanmin(shown) >= low
    assert np.nanmax(shown) == 1.0
    if low == 0.0:
        for segment in np.split(shown[:, :5000], 2, axis=1):
            assert (segment.min(), segment.max()) == (0.0, 1.0)


def test_each_sample_gets_the_value_of_its_time(system, tmp_path: Path, monkeypatch) -> None:
    """A map of single points comes back at the same seconds, at half the rate and leads swapped."""
    slow = read_record(save_record(tmp_path / "slow.npy", fs_hz=250.0))
    order = (*CANONICAL_LEADS[1:], CANONICAL_LEADS[0])
    points = np.zeros((2, 12, 2500))
    points[0, 0, 1000], points[1, 7, 200] = 1.0, 2.0
    monkeypatch.setattr(
        "ecg_fairseq.networks.encoders.record_saliency.segment_saliency", lambda *_: points
    )
    found = record_saliency(system, slow.select(order), "attention")
    places = np.argwhere(found > 0)
    assert [(order[lead], int(sample)) for lead, sample in places] == [("V2", 1350), ("I", 500)]
    assert found[order.index("I"), 500] == 1.0


def test_what_cannot_be_explained_is_refused(system, record, tmp_path: Path) -> None:
    with pytest.raises(EcgError, match="say which"):
        record_saliency(system, record, "gradient")
    with pytest.raises(EcgError, match="is not one of gradient"):
        record_saliency(system, record, "magic")
    save_encoder(tmp_path / "pretrained.pt", "wav2vec2_cmsc")
    pretrained = load_trained_encoder(tmp_path / "pretrained.pt")
    with pytest.raises(EcgError, match="no label head"):
        record_saliency(pretrained, record, "gradient", 0)
    assert np.isfinite(record_saliency(pretrained, record, "attention")[:, :5000]).all()


def test_flat_maps_are_shown_as_nothing(system, record, monkeypatch) -> None:
    assert not for_display(np.zeros((2, 5)), "gradient").any()
    monkeypatch.setattr(
        "ecg_fairseq.networks.encoders.record_saliency.segment_saliency",
        lambda *_: np.ones((2, 12, 2500)),
    )
    assert np.nanmax(record_saliency(system, record, "attention")) == 0.0


def test_twins_differ_by_the_elevation_only() -> None:
    for planted in planted_records(4, seed=5):
        gap = planted.record.signal - planted.twin.signal
        inside, outside = np.abs(gap[:, planted.is_st]), np.abs(gap[:, ~planted.is_st])
        assert inside.mean() > 10 * outside.mean()
        assert 0.05 < planted.is_st.mean() < 0.6
        strongest = np.array(CANONICAL_LEADS)[inside.mean(axis=1).argmax()]
        assert strongest in ("V1", "V2", "V3", "V4")
        # Both are told in standard deviations of the lead.
        size = inside.mean(axis=1) / planted.record.signal.std(axis=1)
        assert np.corrcoef(size, planted.evidence)[0, 1] > 0.95
    again = [one.record.signal for one in planted_records(2, seed=5)]
    first = [one.record.signal for one in planted_records(4, seed=5)]
    np.testing.assert_array_equal(again, first[:2])


def test_a_map_of_the_truth_scores_one(system, monkeypatch) -> None:
    """Whoever points at ST elevation in V1 to V4 gets everything, whoever points elsewhere nothing.

    The network is not asked: its map is replaced by the planted places, or by their complement.
    """

    def pointing(at_truth: bool):
        def maps(_, planted, *__):
            truth = np.zeros((12, 5000))
            truth[CHEST, planted.is_st] = 1.0
            truth = (
                truth
                if at_truth
                else 1.0 - np.maximum.outer(truth.max(axis=1), planted.is_st.astype(float))
            )
            return truth.reshape(12, 2, 2500).transpose(1, 0, 2) - 0.001

        return maps

    monkeypatch.setattr(saliency_truth, "_maps", pointing(True))
    right = summary(measure(system, 0, 3), 12)
    assert [right["all"][name]["mean"] for name in saliency_truth.FIGURES] == [1.0] * 4
    monkeypatch.setattr(saliency_truth, "_maps", pointing(False))
    wrong = summary(measure(system, 0, 3), 12)
    assert [wrong["all"][name]["mean"] for name in saliency_truth.FIGURES] == [0.0] * 4
    assert right["patients"] == 3
    assert right["segments"] == 6
    assert right["chance"]["lead_share"] == pytest.approx(1 / 3)
    assert 0.4 < right["evidence_share"]["mean"] < 0.9


@pytest.mark.parametrize("method", saliency_truth.METHODS)
def test_measuring_a_network(method: str, system) -> None:
    with torch.no_grad():  # a network that is sure, so that some segments count as detected
        system.trained.network.proj.bias[2] = 50.0
    found = measure(system, 2, 1, method=method)
    assert len(found) == 2
    assert all(0.0 < one.lead_share < 1.0 and 0.0 < one.st_share < 1.0 for one in found)
    assert summary(found, 12)["detected_segments"] == 2
    with torch.no_grad():
        system.trained.network.proj.bias[2] = -50.0
    assert summary(measure(system, 2, 1, method=method), 12)["detected"]["lead_share"] is None


def test_smoothing_cancels_what_alternates() -> None:
    ripple = np.tile([1.0, -1.0], 500)[None]
    assert np.abs(smoothed(ripple, 0.032, 500.0)[:, 20:-20]).max() < 1e-12
    np.testing.assert_array_equal(smoothed(ripple, 0.0, 500.0), ripple)


def test_unknown_measurements_are_refused(system, tmp_path: Path) -> None:
    with pytest.raises(EcgError, match="magic"):
        measure(system, 0, 1, method="magic")
    with pytest.raises(EcgError, match="magic"):
        segment_saliency(system, torch.zeros(1, 12, 2500), "magic", 0)
    save_encoder(tmp_path / "limb.pt", task={"leads_to_load": "I,II"}, in_d=2)
    with pytest.raises(EcgError, match="planted truth"):
        measure(load_trained_encoder(tmp_path / "limb.pt"), 0, 1)
