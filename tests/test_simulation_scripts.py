"""scripts/interval_coverage.py and scripts/blind_floor.py on a few simulated results."""

from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture(autouse=True)
def scripts_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_coverage_has_a_line_for_each_case() -> None:
    import interval_coverage

    table = list(interval_coverage.lines(2, 60, is_skewed=False))
    assert len(table) == 2 + len(interval_coverage.AUROCS) * len(interval_coverage.DESIGNS)
    assert table[2].startswith("| 0.7 | 1 (1) | ")
    problem = interval_coverage.problem_of(0.9, 60, (3, 1), True, 0)
    assert problem.labels.sum(axis=0).tolist() == list(interval_coverage.POSITIVES)


def test_the_simulated_auroc_is_the_one_asked_for() -> None:
    import interval_coverage

    for is_skewed in (False, True):
        found = [
            interval_coverage.problem_of(0.9, 200, (1, 1), is_skewed, seed).auroc_auprc(
                np.ones((200, 1))
            )[0, -3, 0, 0]
            for seed in range(60)
        ]
        assert np.mean(found) == pytest.approx(0.9, abs=0.02)


def test_blind_floors_are_near_the_truth() -> None:
    import blind_floor

    for design in blind_floor.DESIGNS.values():
        found = [
            blind_floor.floors_of(design(np.random.default_rng(seed)), seed) for seed in range(12)
        ]
        raw, corrected = np.mean(found, axis=0)
        assert corrected == pytest.approx(0.5, abs=0.07)
        assert raw <= corrected
