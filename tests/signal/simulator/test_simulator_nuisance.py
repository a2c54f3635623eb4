"""Nuisances must not give findings away: a classifier that sees only them stays near chance."""

from dataclasses import astuple

import numpy as np

from ecg_fairseq.records.simulated.plan import (
    SimulatedCase,
    draw_case,
    plan_cohort,
    simulate_case,
)
from ecg_fairseq.signal.simulator.findings import RATE_RANGES_BPM

LIMIT = 0.60
CLASSES = {
    "normal ecg": lambda f: f.is_normal,
    "slow": lambda f: f.rate_class == "slow",
    "fast": lambda f: f.rate_class == "fast",
    "fibrillation": lambda f: f.atrial_fibrillation,
    "av block": lambda f: f.av_block,
    "left bundle block": lambda f: f.conduction == "left_bundle_block",
    "right bundle block": lambda f: f.conduction == "right_bundle_block",
    "left axis": lambda f: f.left_axis,
    "hypertrophy": lambda f: f.voltage == "hypertrophy",
    "low voltage": lambda f: f.voltage == "low",
    "anterior elevation": lambda f: f.repolarisation == "anterior_st_elevation",
    "inferior elevation": lambda f: f.repolarisation == "inferior_st_elevation",
    "depression": lambda f: f.repolarisation == "st_depression",
    "t inversion": lambda f: f.repolarisation == "t_inversion",
    "premature beats": lambda f: f.premature_beats,
    "static noise": lambda f: f.noise == "static",
    "burst noise": lambda f: f.noise == "burst",
    "baseline drift": lambda f: f.noise == "drift",
}


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    ranks = np.empty(len(score))
    ranks[np.argsort(score, kind="stable")] = np.arange(1, len(score) + 1)
    positives = truth.sum()
    total = ranks[truth].sum() - positives * (positives + 1) / 2
    return float(total / (positives * (len(truth) - positives)))


def held_out_auroc(features: np.ndarray, truth: np.ndarray, is_test: np.ndarray) -> float:
    """Fit a ridge classifier with squares and products on one half of the patients."""
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
    rows, columns = np.triu_indices(scaled.shape[1])
    design = np.hstack([np.ones((len(scaled), 1)), scaled, scaled[:, rows] * scaled[:, columns]])
    train = design[~is_test]
    gram = train.T @ train + 30.0 * np.eye(train.shape[1])
    weights = np.linalg.solve(gram, train.T @ truth[~is_test].astype(float))
    return auroc(truth[is_test], design[is_test] @ weights)


def nuisances(case: SimulatedCase) -> list[float]:
    person, anatomy = case.person, case.anatomy
    return [
        person.age,
        person.sex,
        person.height_cm or 0,
        person.weight_kg or 0,
        person.site,
        person.nurse,
        float(person.device[-1] == "A"),
        float(person.device[-1] == "B"),
        person.recorded.hour,
        *astuple(case.nuisance),
        anatomy.normal_axis_deg,
        anatomy.chest_voltage_mv,
        anatomy.t_wave_mv,
        anatomy.p_wave_mv,
        float(np.abs(anatomy.lead_field).sum()),
    ]


def test_metadata_and_noise_levels_say_nothing_about_findings() -> None:
    cases = [draw_case(planned, 11) for planned in plan_cohort(3000, 11)]
    features = np.array([nuisances(case) for case in cases])
    is_test = np.array([case.planned.patient % 2 == 0 for case in cases])
    found = {
        name: held_out_auroc(features, np.array([rule(c.findings) for c in cases]), is_test)
        for name, rule in CLASSES.items()
    }
    assert {name: round(value, 3) for name, value in found.items() if value >= LIMIT} == {}
    # The classifier can see a leak when there is one.
    leaking = features.copy()
    truth = np.array([case.findings.av_block for case in cases])
    leaking[:, 9] *= 1.0 + truth
    assert held_out_auroc(leaking, truth, is_test) > LIMIT


def test_measured_noise_and_rate_within_class_say_nothing_about_findings() -> None:
    """Noise as it stands in the leads, without the noise findings that define it."""
    cases = [draw_case(planned, 12) for planned in plan_cohort(500, 12)]
    cases = [case for case in cases if case.findings.noise == "none"]
    features = []
    for case in cases:
        recording = simulate_case(case, 12, 100)
        noise = recording.signal - recording.clean
        low, high = RATE_RANGES_BPM[case.findings.rate_class]
        place = (60.0 / recording.rhythm.mean_rr_s - low) / (high - low)
        features.append([noise.std(), np.diff(noise, axis=1).std(), noise[6:].std(), place])
    is_test = np.array([case.planned.patient % 2 == 0 for case in cases])
    table = np.log(np.abs(np.array(features)) + 1e-6)
    for name, rule in CLASSES.items():
        truth = np.array([rule(case.findings) for case in cases])
        if truth[is_test].sum() > 20:
            # 60 positives of 300: two standard errors are 0.08.
            assert held_out_auroc(table, truth, is_test) < LIMIT + 0.08, name
