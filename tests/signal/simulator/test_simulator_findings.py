"""Each finding is in the signal: measured on the leads as a clinician would, in many patients."""

import itertools
import time

import numpy as np
import pytest

from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.simulator import (
    Findings,
    Recording,
    derive_findings,
    draw_anatomy,
    draw_nuisance,
    simulate_recording,
)
from ecg_fairseq.signal.simulator.findings import CHOICES, RATE_RANGES_BPM

FS = 500
ROW = {name: index for index, name in enumerate(CANONICAL_LEADS)}
PATIENTS = range(25)


def simulate(findings: Findings, seed: int) -> Recording:
    random = np.random.default_rng([77, seed])
    return simulate_recording(findings, draw_anatomy(random), draw_nuisance(random), FS, random)


def median_beat(recording: Recording, level_ms: float = -57) -> np.ndarray:
    """Return the clean conducted beat (12, T) from 0.44 s before R to 0.5 s after.

    The PR segment near ``level_ms`` before R becomes zero.
    """
    premature = recording.rhythm.premature_s
    beats = [
        recording.clean[:, start - 220 : start + 250]
        for start in np.rint(recording.rhythm.normal_s * FS).astype(int)
        if 220 <= start <= 4750 and not np.any(np.abs(premature * FS - start) < 600)
    ]
    beat = np.median(beats, axis=0)
    level = 220 + round(level_ms * FS / 1000)
    return beat - np.median(beat[:, level - 3 : level + 4], axis=1, keepdims=True)


def at(beat: np.ndarray, lead: str, milliseconds: float) -> float:
    return float(beat[ROW[lead], 220 + round(milliseconds * FS / 1000)])


def part(beat: np.ndarray, lead: str, start_ms: float, end_ms: float) -> np.ndarray:
    return beat[ROW[lead], 220 + round(start_ms / 2) : 220 + round(end_ms / 2)]


def qrs(beat: np.ndarray, lead: str) -> np.ndarray:
    return part(beat, lead, -80, 110)


def qrs_duration_ms(beat: np.ndarray) -> float:
    """Return the time in which the steepness of all leads together is that of QRS."""
    slope = np.abs(np.diff(beat[:, 185:290], axis=1)).max(axis=0)
    active = np.flatnonzero(slope > 0.04 * slope.max() + 0.004)
    return (active[-1] - active[0]) * 1000 / FS


def limb_span(beat: np.ndarray) -> float:
    return max(np.ptp(qrs(beat, lead)) for lead in CANONICAL_LEADS[:6])


def chest_span(beat: np.ndarray) -> float:
    return max(np.ptp(qrs(beat, lead)) for lead in CANONICAL_LEADS[6:])


def sokolow(beat: np.ndarray) -> float:
    return -qrs(beat, "V1").min() + max(qrs(beat, "V5").max(), qrs(beat, "V6").max())


@pytest.mark.parametrize("rate_class", ["slow", "normal", "fast"])
@pytest.mark.parametrize("fibrillation", [False, True])
def test_rate_is_in_its_class_and_regular_only_in_sinus_rhythm(
    rate_class: str, fibrillation: bool
) -> None:
    low, high = RATE_RANGES_BPM[rate_class]
    for seed in PATIENTS:
        findings = Findings(rate_class=rate_class, atrial_fibrillation=fibrillation)
        beats = simulate(findings, seed).rhythm.normal_s
        intervals = np.diff(beats)
        assert 0.93 * low < 60 / intervals.mean() < 1.07 * high
        spread = intervals.std() / intervals.mean()
        assert spread > 0.07 if fibrillation else spread < 0.05


def test_p_waves_are_there_in_sinus_rhythm_and_gone_in_fibrillation() -> None:
    for seed in PATIENTS:
        sinus = median_beat(simulate(Findings(), seed))
        fibrillation = median_beat(simulate(Findings(atrial_fibrillation=True), seed))
        assert part(sinus, "II", -200, -70).max() > 0.08
        assert np.abs(part(fibrillation, "II", -200, -70)).max() < 0.1


def test_f_waves_fill_the_pauses_of_fibrillation() -> None:
    for seed in PATIENTS:
        for fibrillation in (False, True):
            findings = Findings(atrial_fibrillation=fibrillation, rate_class="slow")
            recording = simulate(findings, seed)
            beats = recording.rhythm.normal_s
            pauses = [
                recording.clean[ROW["V1"], round((r + 0.53) * FS) : round((r + 0.78) * FS)]
                for r, following in itertools.pairwise(beats)
                if 0 < r < 9 and following - r > 1.04
            ]
            swing = np.median([np.ptp(pause) for pause in pauses])
            assert swing > 0.04 if fibrillation else swing < 0.03


def test_first_degree_block_lengthens_pr_beyond_210_ms() -> None:
    for seed in PATIENTS:
        for blocked in (False, True):
            recording = simulate(Findings(av_block=blocked, rate_class="slow"), seed)
            beat = median_beat(recording)
            p_peak = int(np.argmax(part(beat, "II", -420, -70))) * 2 - 420
            pr_interval = -45 - (p_peak - 50)  # P begins 50 ms before its peak
            assert pr_interval > 200 if blocked else pr_interval < 205
            built = recording.beat.pr_interval_s
            assert built > 0.21 if blocked else 0.12 <= built <= 0.19


def test_qrs_is_wide_only_in_bundle_branch_block() -> None:
    for seed in PATIENTS:
        for conduction in ("normal", "left_bundle_block", "right_bundle_block"):
            duration = qrs_duration_ms(median_beat(simulate(Findings(conduction=conduction), seed)))
            assert duration < 118 if conduction == "normal" else duration >= 120, conduction


def test_left_bundle_block_has_its_shape() -> None:
    for seed in PATIENTS:
        beat = median_beat(simulate(Findings(conduction="left_bundle_block"), seed), -86)
        for lead in ("I", "V6"):
            assert qrs(beat, lead).min() > -0.12 * qrs(beat, lead).max(), f"q or S in {lead}"
        assert (qrs(beat, "V6") > 0.4 * qrs(beat, "V6").max()).sum() * 2 > 60  # broad R, ms
        assert qrs(beat, "V1").max() < 0.25 * -qrs(beat, "V1").min()
        assert part(beat, "V6", 180, 420).min() < -0.05  # discordant T
        assert part(beat, "V1", 180, 420).max() > 0.05


def test_right_bundle_block_has_its_shape() -> None:
    for seed in PATIENTS:
        beat = median_beat(simulate(Findings(conduction="right_bundle_block"), seed))
        first = part(beat, "V1", -60, -5)
        second = part(beat, "V1", 30, 110)
        assert first.max() > 0.03
        assert second.max() > first.max()  # rSR'
        assert part(beat, "V1", -10, 40).min() < first.max() - 0.1
        for lead in ("I", "V6"):
            assert part(beat, lead, 40, 110).min() < -0.1, f"no broad S in {lead}"


def test_left_axis_deviation_turns_lead_two_down() -> None:
    for seed in PATIENTS:
        for deviated in (False, True):
            beat = median_beat(simulate(Findings(left_axis=deviated), seed))
            net = {lead: qrs(beat, lead).sum() for lead in ("I", "II")}
            assert net["I"] > 0
            assert net["II"] < 0 if deviated else net["II"] > 0


def test_voltage_criteria_hold_and_only_where_asked() -> None:
    for seed in PATIENTS:
        for voltage in ("normal", "hypertrophy", "low"):
            beat = median_beat(simulate(Findings(voltage=voltage), seed))
            assert (sokolow(beat) >= 3.5) == (voltage == "hypertrophy")
            is_low = limb_span(beat) < 0.5 and chest_span(beat) < 1.0
            assert is_low == (voltage == "low")


def test_st_segments_move_in_the_leads_that_define_the_finding() -> None:
    for seed in PATIENTS:
        level = {
            name: median_beat(simulate(Findings(repolarisation=name), seed))
            for name in (
                "normal",
                "anterior_st_elevation",
                "inferior_st_elevation",
                "st_depression",
            )
        }
        anterior, inferior = level["anterior_st_elevation"], level["inferior_st_elevation"]
        assert max(at(anterior, lead, 90) for lead in ("V2", "V3", "V4")) >= 0.2
        assert min(at(anterior, lead, 90) for lead in ("V2", "V3")) >= 0.1
        assert max(at(inferior, lead, 90) for lead in ("II", "III", "aVF")) >= 0.2
        assert min(at(inferior, lead, 90) for lead in ("II", "III", "aVF")) >= 0.1
        assert at(inferior, "aVL", 90) < -0.05  # reciprocal
        assert at(level["st_depression"], "V5", 90) <= -0.1
        for lead in CANONICAL_LEADS:
            assert abs(at(level["normal"], lead, 90)) < 0.1


def test_t_waves_point_down_only_when_inverted() -> None:
    for seed in PATIENTS:
        upright = median_beat(simulate(Findings(), seed))
        inverted = median_beat(simulate(Findings(repolarisation="t_inversion"), seed))
        for lead in ("II", "V4", "V5"):
            assert part(upright, lead, 180, 420).max() > 0.08
            assert part(inverted, lead, 180, 420).min() < -0.1


@pytest.mark.parametrize("rate_class", ["slow", "normal", "fast"])
def test_premature_beats_are_early_wide_and_followed_by_a_pause(rate_class: str) -> None:
    for seed in PATIENTS:
        recording = simulate(Findings(premature_beats=True, rate_class=rate_class), seed)
        rhythm = recording.rhythm
        assert 1 <= len(rhythm.premature_s) <= 4
        for early in rhythm.premature_s:
            before = rhythm.normal_s[rhythm.normal_s < early].max()
            after = rhythm.normal_s[rhythm.normal_s > early].min()
            assert early - before < 0.85 * rhythm.mean_rr_s
            assert after - early > 1.05 * rhythm.mean_rr_s
            start = round(early * FS)
            wave = np.abs(recording.clean[:, start - 40 : start + 40])
            largest = wave[np.argmax(wave.max(axis=1))]
            assert (largest > 0.3 * largest.max()).sum() * 2 > 80, "narrow"


@pytest.mark.parametrize(
    ("noise", "low", "high"), [("static", 0.04, 0.2), ("burst", 0.02, 0.3), ("drift", 0.15, 1.2)]
)
def test_noise_findings_stand_out_from_ordinary_noise(noise: str, low: float, high: float) -> None:
    for seed in PATIENTS:
        levels = {}
        for finding in ("none", noise):
            recording = simulate(Findings(noise=finding), seed)
            levels[finding] = (recording.signal - recording.clean).std(axis=1)
        assert low < levels[noise].max() < high
        assert levels[noise].max() > levels["none"].max()


def test_impossible_combinations_never_come_out() -> None:
    random = np.random.default_rng(5)
    drawn = [derive_findings(random.random(len(CHOICES))) for _ in range(4000)]
    for findings in drawn:
        if findings.atrial_fibrillation or findings.rate_class == "fast":
            assert not findings.av_block
        if findings.conduction != "normal":
            assert findings.voltage != "hypertrophy"
            assert findings.repolarisation not in ("st_depression", "t_inversion")
    shares = {
        "normal": np.mean([item.is_normal for item in drawn]),
        "fibrillation": np.mean([item.atrial_fibrillation for item in drawn]),
        "left block": np.mean([item.conduction == "left_bundle_block" for item in drawn]),
        "depression": np.mean([item.repolarisation == "st_depression" for item in drawn]),
    }
    assert all(0.08 < share < 0.30 for share in shares.values()), shares
    # Findings co-occur: a model cannot get by with "one diagnosis a recording".
    both = [item.left_axis and item.repolarisation != "normal" for item in drawn]
    assert np.mean(both) > 0.08


def test_a_recording_takes_milliseconds() -> None:
    simulate(Findings(), 0)
    start = time.process_time()
    for seed in range(20):
        simulate(Findings(), seed)
    assert (time.process_time() - start) / 20 < 0.02  # aim 0.006; the margin is for busy machines
