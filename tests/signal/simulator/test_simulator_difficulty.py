"""Standard findings lie apart; hard ones overlap at their borders, in the signal itself."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.simulated.plan import SimulatedCase, draw_case, plan_cohort, simulate_case
from ecg_fairseq.signal.simulator import Recording
from ecg_fairseq.signal.simulator.difficulty import DIFFICULTIES, HARD, STANDARD, difficulty_of

Simulated = list[tuple[SimulatedCase, Recording]]


def simulate(difficulty: str) -> Simulated:
    cases = [draw_case(planned, 1) for planned in plan_cohort(120, 1, difficulty)]
    return [(case, simulate_case(case, 1, 250.0)) for case in cases]


@pytest.fixture(scope="module")
def cohorts() -> dict[str, Simulated]:
    return {name: simulate(name) for name in DIFFICULTIES}


def limb_range(recording: Recording) -> float:
    return float(np.ptp(recording.clean[:6], axis=1).max())


def sokolow(recording: Recording) -> float:
    v1, v5, v6 = recording.clean[[6, 10, 11]]
    return float(-np.percentile(v1, 0.5) + max(np.percentile(v5, 99.8), np.percentile(v6, 99.8)))


def measurements(cohort: Simulated) -> dict[str, float]:
    """Return how well the textbook's measurement tells each finding: AUROC."""
    plain = [
        pair
        for pair in cohort
        if pair[0].findings.conduction == "normal" and not pair[0].findings.premature_beats
    ]
    sinus = [pair for pair in cohort if not pair[0].findings.atrial_fibrillation]
    tables = {
        "fast": [(c.findings.rate_class == "fast", -r.rhythm.mean_rr_s) for c, r in cohort],
        "slow": [(c.findings.rate_class == "slow", r.rhythm.mean_rr_s) for c, r in cohort],
        "av_block": [(c.findings.av_block, r.beat.pr_interval_s) for c, r in sinus],
        "bundle": [(c.findings.conduction != "normal", r.beat.qrs_duration_s) for c, r in cohort],
        "axis": [(c.findings.left_axis, -r.beat.axis_deg) for c, r in cohort],
        "hypertrophy": [(c.findings.voltage == "hypertrophy", sokolow(r)) for c, r in plain],
        "low": [(c.findings.voltage == "low", -limb_range(r)) for c, r in plain],
    }
    return {name: roc_auc_score(*zip(*rows, strict=True)) for name, rows in tables.items()}


def test_standard_findings_can_be_told_and_hard_ones_not_always(cohorts):
    standard, hard = (measurements(cohorts[name]) for name in ("standard", "hard"))
    assert min(standard.values()) > 0.985, standard
    for name, auroc in hard.items():
        assert 0.85 < auroc < 0.999, (name, auroc)
        assert auroc < standard[name]


def test_hard_st_levels_begin_below_the_criterion(cohorts):
    levels = {
        name: [abs(r.beat.st_level_mv) for c, r in cohort if abs(r.beat.st_level_mv) > 0]
        for name, cohort in cohorts.items()
    }
    elevated = [abs(r.beat.st_level_mv) for c, r in cohorts["hard"] if r.beat.st_level_mv > 0]
    assert min(levels["standard"]) >= 0.06
    assert np.mean(np.array(elevated) < 0.2) > 0.3


def test_difficulty_changes_signals_and_nothing_else(cohorts):
    for (case, recording), (other, hard) in zip(*cohorts.values(), strict=True):
        assert case.findings == other.findings
        assert repr(case.person) == repr(other.person)
        assert hard.signal.shape == recording.signal.shape
        assert np.isfinite(hard.signal).all()
        one, two, three, *_ = hard.signal
        assert np.abs(two - one - three).max() < 1e-5
        assert (hard.signal != recording.signal).any()


def test_difficulties_go_by_name():
    assert difficulty_of("standard") is STANDARD
    assert difficulty_of("hard") is HARD
    with pytest.raises(RecordError, match="expected one of standard, hard"):
        difficulty_of("easy")
