"""The parity module for ECG-Byte's signal path: all equal, and any changed constant is a FAIL."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from parity_systems import ecg_byte_signal as module

from ecg_fairseq.signal.recipes import get_recipe


@pytest.fixture
def golden(shared_dir) -> Path:
    return shared_dir / "golden/ecg-byte"


def test_all_stages_equal_the_reference(golden):
    found = list(module.checks(golden))
    assert len(found) == 15
    assert all(check.ok for check in found), [check.line() for check in found if not check.ok]


@pytest.mark.parametrize(
    "change",
    [
        {"notch_hz": (50.0, 59.0)},
        {"notch_quality": 31.0},
        {"band_hz": (0.51, 100.0)},
        {"band_hz": (0.5, 99.0)},
        {"band_order": 3},
        {"highpass_hz": 0.06},
        {"highpass_order": 3},
        {"wavelet": "db5"},
        {"wavelet_level": 3},
        {"target_fs_hz": 249.0},
        {"window_samples": 499},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_constant_fails(golden, monkeypatch, change):
    monkeypatch.setattr(module, "get_recipe", lambda name: replace(get_recipe(name), **change))
    assert not all(check.ok for check in module.checks(golden))


@pytest.mark.parametrize("change", [{"num_symbols": 25}, {"epsilon": 1e-3}, {"decode": "centre"}])
def test_a_changed_quantizer_fails(golden, monkeypatch, change):
    original = module._quantizer
    monkeypatch.setattr(module, "_quantizer", lambda *ends: replace(original(*ends), **change))
    assert not all(check.ok for check in module.checks(golden))


def test_another_margin_fails(golden, monkeypatch):
    monkeypatch.setattr(module, "MARGIN_MV", 0.49)
    assert not all(check.ok for check in module.checks(golden))


def test_folders_without_cases_yield_nothing(tmp_path):
    assert list(module.checks(tmp_path)) == []
    edges = {"percentile_1": -1, "percentile_99": 1, "values": [0.0], "symbols": "m", "reverse": []}
    (tmp_path / "quantiser_edges.json").write_text(json.dumps(edges))
    assert [check.ok for check in module.checks(tmp_path)] == [True, False]
