"""The parity modules of the other systems' signal paths: all equal, and changes are a FAIL."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from parity_systems import dual_attention_signal, ecg_fm_signal, heartllm_signal

from ecg_fairseq.signal.recipes import get_recipe

CASES = [
    (ecg_fm_signal, "golden/ecg-fm", 121),
    (ecg_fm_signal, "data/code-15", 22),
    (heartllm_signal, "golden/heartllm", 4),
    (dual_attention_signal, "golden/dual-attention", 9),
    (dual_attention_signal, "golden/dual-attention/preprocess", 9),
]


@pytest.mark.parametrize(("module", "folder", "count"), CASES)
def test_all_equal_the_reference(shared_dir, module, folder, count):
    found = list(module.checks(shared_dir / folder))
    assert len(found) == count
    assert all(check.ok for check in found), [check.line() for check in found if not check.ok]


def test_code_15_is_met_to_the_last_bit(shared_dir):
    found = list(ecg_fm_signal.checks(shared_dir / "golden/ecg-fm"))
    errors = [check.max_abs_err for check in found if check.name.startswith("code_15")]
    assert len(errors) == 108
    assert max(errors) == 0.0


def changed(monkeypatch, module, **change):
    monkeypatch.setattr(module, "get_recipe", lambda name: replace(get_recipe(name), **change))


@pytest.mark.parametrize(
    "change", [{"resampling": "polyphase"}, {"target_fs_hz": 499.0}, {"window_samples": 2499}]
)
def test_a_changed_constant_fails_on_code_15(shared_dir, monkeypatch, change):
    changed(monkeypatch, ecg_fm_signal, **change)
    assert not all(check.ok for check in ecg_fm_signal.checks(shared_dir / "data/code-15"))


@pytest.mark.parametrize("seed", ["CHAIN_SEED", "THREE_KG_SEED"])
def test_another_draw_fails(shared_dir, monkeypatch, seed):
    monkeypatch.setattr(ecg_fm_signal, seed, 1)
    case = np.load(shared_dir / "golden/ecg-fm/augmentations.npz")
    tensors = {name: case[name] for name in case.files}
    found = [*ecg_fm_signal._noise_checks(tensors), *ecg_fm_signal._three_kg_checks(tensors)]
    assert not all(check.ok for check in found)


def test_changed_augmentations_fail(shared_dir, monkeypatch):
    case = np.load(shared_dir / "golden/ecg-fm/augmentations.npz")
    tensors = {name: case[name] for name in case.files}
    monkeypatch.setattr(ecg_fm_signal, "FS_HZ", 499.0)
    failed = {
        check.name.split("/")[1] for check in ecg_fm_signal._noise_checks(tensors) if not check.ok
    }
    assert {"powerline_noise__dep0", "baseline_wander__dep1", "chain_p0.5"} <= failed


def test_a_changed_padding_fails(shared_dir, monkeypatch):
    changed(monkeypatch, dual_attention_signal, window_samples=610)
    found = dual_attention_signal.checks(shared_dir / "golden/dual-attention")
    assert not all(check.ok for check in found)


def test_folders_without_cases_yield_nothing(tmp_path):
    np.savez(tmp_path / "io.npz", latent=np.zeros(2))
    for module in (ecg_fm_signal, heartllm_signal, dual_attention_signal):
        assert list(module.checks(tmp_path)) == []
