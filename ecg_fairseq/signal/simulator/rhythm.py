"""When the heart beats: R times of sinus rhythm, atrial fibrillation and premature beats."""

from dataclasses import dataclass

import numpy as np

from ecg_fairseq.signal.simulator.difficulty import STANDARD, Difficulty
from ecg_fairseq.signal.simulator.findings import Findings

DURATION_S = 10.0
_LEAD_IN_S = 1.5  # beats before and after the recording, so that its edges are not special
_SHORTEST_RR_S = 0.30
_PREMATURE_COUPLING = (0.55, 0.66)  # of the mean RR interval
_SHORTEST_COUPLING_S = 0.30


@dataclass(frozen=True)
class Rhythm:
    """Beats of one recording; times in seconds from its start, some outside it.

    Attributes:
        normal_s: (N,) R times of conducted beats.
        premature_s: (K,) R times of ventricular premature beats.
        mean_rr_s: mean RR interval of the underlying rhythm.
        respiration_hz: breathing rate.
        respiration_phase: breathing phase at time 0, radians.
    """

    normal_s: np.ndarray
    premature_s: np.ndarray
    mean_rr_s: float
    respiration_hz: float
    respiration_phase: float


def draw_rhythm(
    findings: Findings, random: np.random.Generator, difficulty: Difficulty = STANDARD
) -> Rhythm:
    """Draw the beats of one recording; the rate within its class is uniform for any finding."""
    mean_rr = 60.0 / random.uniform(*difficulty.rate_bpm[findings.rate_class])
    respiration_hz = random.uniform(0.17, 0.32)
    phase = random.uniform(0.0, 2.0 * np.pi)
    count = int(np.ceil((DURATION_S + 2.0 * _LEAD_IN_S) / mean_rr)) + 3
    if findings.atrial_fibrillation:
        intervals = _fibrillation_intervals(mean_rr, count, random, difficulty)
    else:
        breath = np.sin(2.0 * np.pi * respiration_hz * mean_rr * np.arange(count) + phase)
        depth = random.uniform(*difficulty.sinus_depth)
        intervals = mean_rr * (1.0 + depth * breath + random.normal(0.0, 0.012, count))
    times = -_LEAD_IN_S - random.uniform(0.0, mean_rr) + np.cumsum(intervals)
    premature = np.empty(0)
    if findings.premature_beats:
        times, premature = _insert_premature(times, mean_rr, random)
    return Rhythm(times, premature, mean_rr, respiration_hz, phase)


def _fibrillation_intervals(
    mean_rr: float, count: int, random: np.random.Generator, difficulty: Difficulty
) -> np.ndarray:
    """Irregular RR intervals without memory, with exactly the mean that was asked for."""
    spread = random.uniform(*difficulty.fibrillation_spread)
    intervals = mean_rr * np.exp(random.normal(0.0, spread, count))
    intervals = np.clip(intervals, 0.60 * mean_rr, 1.65 * mean_rr)
    intervals *= mean_rr / intervals.mean()
    return np.maximum(intervals, _SHORTEST_RR_S)


def _insert_premature(
    times: np.ndarray, mean_rr: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Replace 2 to 4 beats by early ventricular ones; the pause after them is compensatory."""
    inside = np.flatnonzero((times > 0.9) & (times < DURATION_S - 0.6))
    wanted = int(random.integers(2, 5))
    chosen: list[int] = []
    for index in random.permutation(inside):
        if len(chosen) < wanted and all(abs(index - other) > 1 for other in chosen):
            chosen.append(int(index))
    chosen.sort()
    coupling = np.maximum(
        mean_rr * random.uniform(*_PREMATURE_COUPLING, len(chosen)), _SHORTEST_COUPLING_S
    )
    early = np.minimum(times[np.array(chosen) - 1] + coupling, times[chosen] - 0.06)
    return np.delete(times, chosen), early
