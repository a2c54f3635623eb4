"""The heart's dipole during one beat: P, QRS loop, ST segment and T as sums of smooth waves.

A bundle branch block, an axis deviation or an infarct changes the dipole's path; what each lead
then shows follows from the lead field. Sizes are calibrated on the leads that define the finding
(Sokolow and Lyon 1949 for hypertrophy, the limb leads for low voltage), for every single patient.
"""

from dataclasses import dataclass, replace

import numpy as np

from ecg_fairseq.signal.simulator.anatomy import Anatomy
from ecg_fairseq.signal.simulator.difficulty import STANDARD, Difficulty
from ecg_fairseq.signal.simulator.findings import Findings
from ecg_fairseq.signal.simulator.leads import leads_from_electrodes

_GRID_S = np.arange(-0.120, 0.170, 0.002)
_ONSET_SHARE = 0.05  # of the largest QRS dipole: where its onset and end are read
_LEAD_I, _LEAD_AVF, _LEAD_V1 = 0, 5, 6
_LIMB, _CHEST = slice(0, 6), slice(6, 12)

# QRS waves: centre (s), width (s), dipole x, y, z (mV before calibration). The first wave is the
# septum: it keeps its direction whatever the axis. In right bundle branch block the last wave is
# the late right ventricle, which the axis (read from the first part of QRS) does not turn either.
_QRS_WAVES = {
    "normal": [
        (-0.028, 0.0085, -0.11, -0.05, -0.24),
        (0.000, 0.0115, 1.00, 0.50, 0.10),
        (0.020, 0.0110, 0.05, 0.12, 0.88),
        (0.036, 0.0080, -0.08, -0.10, 0.16),
    ],
    "right_bundle_block": [
        (-0.028, 0.0085, -0.11, -0.05, -0.26),
        (0.000, 0.0115, 1.00, 0.50, 0.15),
        (0.019, 0.0110, 0.05, 0.12, 0.75),
        (0.068, 0.0175, -0.66, -0.06, -0.58),
    ],
    "left_bundle_block": [
        (-0.044, 0.0130, 0.16, 0.10, 0.04),
        (-0.012, 0.0185, 0.66, 0.32, 0.62),
        (0.036, 0.0190, 0.76, 0.26, 0.62),
    ],
}
_T_DIRECTION = np.array([0.62, 0.42, -0.48])
_T_INVERSION_DIRECTION = np.array([-0.75, -0.42, 0.22])
_ST_DIRECTIONS = {
    "anterior_st_elevation": (np.array([0.25, -0.05, -1.0]), (7, 8, 9)),
    "inferior_st_elevation": (np.array([-0.15, 1.0, 0.15]), (1, 2, 5)),
    "st_depression": (np.array([-0.80, -0.45, 0.15]), (9, 10, 11)),
}


@dataclass(frozen=True)
class Waves:
    """Gaussian waves and one plateau, relative to R.

    Attributes:
        centre_s, rise_s, fall_s: (C,) peak times and widths before and after the peak.
        dipole: (C, 3) mV.
        plateau_s: start and end of the ST segment.
        plateau_dipole: (3,) mV.
    """

    centre_s: np.ndarray
    rise_s: np.ndarray
    fall_s: np.ndarray
    dipole: np.ndarray
    plateau_s: tuple[float, float]
    plateau_dipole: np.ndarray


@dataclass(frozen=True)
class Beat:
    """A conducted beat and the measurements that were built into it (seconds, degrees, mV)."""

    waves: Waves
    pr_interval_s: float
    qrs_duration_s: float
    axis_deg: float
    st_level_mv: float


@dataclass(frozen=True)
class _Qrs:
    centre_s: np.ndarray
    width_s: np.ndarray
    dipole: np.ndarray
    onset_s: float = 0.0
    end_s: float = 0.0

    def on_grid(self) -> np.ndarray:
        """Return the dipole on ``_GRID_S``: (3, T)."""
        steps = (_GRID_S[None, :] - self.centre_s[:, None]) / self.width_s[:, None]
        return (np.exp(-0.5 * steps * steps)[:, :, None] * self.dipole[:, None, :]).sum(axis=0).T


def draw_beat(
    findings: Findings,
    anatomy: Anatomy,
    mean_rr_s: float,
    random: np.random.Generator,
    difficulty: Difficulty = STANDARD,
) -> Beat:
    """Build the conducted beat of one recording.

    Args:
        findings: what it must show.
        anatomy: whose heart it is.
        mean_rr_s: sets QT and the shortest PR interval.
        random: the recording's generator.
        difficulty: how far apart findings lie.
    """
    vectors = leads_from_electrodes(anatomy.lead_field)
    qrs, axis_deg = _draw_qrs(findings, anatomy, vectors, random, difficulty)
    pr_interval = _draw_pr_interval(findings, mean_rr_s, random, difficulty)
    st_dipole, st_level = _draw_st(findings, qrs, vectors, random, difficulty)
    wobble = random.normal(0.0, 0.05, 3)
    t_dipole = _t_wave(findings, anatomy, qrs, vectors, wobble, difficulty)
    if findings.repolarisation.endswith("st_elevation"):
        t_dipole = t_dipole + 0.4 * st_dipole
    stretch = np.sqrt(mean_rr_s)
    t_peak = max(qrs.end_s + 0.11, 0.11 + 0.19 * stretch)
    centre, rise, fall, dipole = [t_peak], [0.055 * stretch], [0.038 * stretch], [t_dipole]
    if not findings.atrial_fibrillation:
        p_start = qrs.onset_s - pr_interval
        for late, wave in zip((0.038, 0.064), _p_dipoles(findings, anatomy, vectors), strict=True):
            centre.append(p_start + late)
            rise.append(0.016)
            fall.append(0.016)
            dipole.append(wave)
    waves = Waves(
        centre_s=np.concatenate([qrs.centre_s, centre]),
        rise_s=np.concatenate([qrs.width_s, rise]),
        fall_s=np.concatenate([qrs.width_s, fall]),
        dipole=np.vstack([qrs.dipole, dipole]),
        plateau_s=(qrs.end_s - 0.008, t_peak + 0.3 * 0.038 * stretch),
        plateau_dipole=st_dipole,
    )
    return Beat(waves, pr_interval, qrs.end_s - qrs.onset_s, axis_deg, st_level)


def premature_waves(anatomy: Anatomy, random: np.random.Generator) -> Waves:
    """Build a ventricular premature beat: wide, from the patient's own focus, discordant T."""
    vectors = leads_from_electrodes(anatomy.lead_field)
    first = anatomy.premature_origin
    second = first + np.array([-first[1], first[0], 0.0]) * 0.35
    dipole = np.stack([first, 0.9 * second, -0.42 * first])
    chest = vectors[_CHEST] @ (first + 0.5 * second)
    limb = vectors[_LIMB] @ (first + 0.5 * second)
    size = random.uniform(1.3, 2.0) / max(np.abs(chest).max(), 1.6 * np.abs(limb).max())
    stretch = float(random.uniform(0.92, 1.12))
    return Waves(
        centre_s=np.array([-0.024, 0.026, 0.245]) * stretch,
        rise_s=np.array([0.023, 0.027, 0.062]) * stretch,
        fall_s=np.array([0.023, 0.027, 0.045]) * stretch,
        dipole=dipole * size,
        plateau_s=(0.080 * stretch, 0.250 * stretch),
        plateau_dipole=-0.10 * first * size,
    )


def _draw_qrs(
    findings: Findings,
    anatomy: Anatomy,
    vectors: np.ndarray,
    random: np.random.Generator,
    difficulty: Difficulty,
) -> tuple[_Qrs, float]:
    table = np.array(_QRS_WAVES[findings.conduction])
    is_blocked = findings.conduction != "normal"
    stretch = random.uniform(
        *(difficulty.qrs_blocked_stretch if is_blocked else difficulty.qrs_stretch)
    )
    dipole = table[:, 2:] * anatomy.shape[: len(table), None]
    if findings.voltage == "hypertrophy":
        dipole[1:3] *= np.array([[1.15, 1.0, 1.15]])
    # Own draw for either class, so that the recording's later draws do not depend on it.
    deviation = random.uniform(*difficulty.deviated_axis_deg)
    factor, added = difficulty.axis
    axis = deviation if findings.left_axis else factor * anatomy.normal_axis_deg + added
    turned = slice(1, 3 if findings.conduction == "right_bundle_block" else None)
    weight = table[turned, 1]
    dipole[turned] = _turn_to_axis(dipole[turned], weight, vectors, axis)
    qrs = _Qrs(table[:, 0] * stretch, table[:, 1] * stretch, dipole)
    size = _voltage_scale(findings, anatomy, vectors @ qrs.on_grid(), random, difficulty)
    length = np.linalg.norm(qrs.on_grid(), axis=0)
    active = _GRID_S[length > _ONSET_SHARE * length.max()]
    onset, end = float(active[0]), float(active[-1])
    return replace(qrs, dipole=dipole * size, onset_s=onset, end_s=end), float(axis)


def _turn_to_axis(
    dipole: np.ndarray, weight: np.ndarray, vectors: np.ndarray, axis_deg: float
) -> np.ndarray:
    """Turn waves in the frontal plane until leads I and aVF give the wanted mean axis."""
    for _ in range(4):
        net = vectors @ (weight @ dipole)
        found = np.arctan2(2.0 / np.sqrt(3.0) * net[_LEAD_AVF], net[_LEAD_I])
        turn = np.deg2rad(axis_deg) - found
        turn = (turn + np.pi) % (2.0 * np.pi) - np.pi
        cos, sin = np.cos(turn), np.sin(turn)
        x, y = dipole[:, 0], dipole[:, 1]
        dipole = np.stack([cos * x - sin * y, sin * x + cos * y, dipole[:, 2]], axis=1)
    return dipole


def _voltage_scale(
    findings: Findings,
    anatomy: Anatomy,
    leads: np.ndarray,
    random: np.random.Generator,
    difficulty: Difficulty,
) -> float:
    """Return the factor that gives QRS ``leads`` (12, T) the voltage the findings ask for."""
    span = leads.max(axis=1) - leads.min(axis=1)
    limb, chest = span[_LIMB].max(), span[_CHEST].max()
    sokolow = -leads[_LEAD_V1].min() + leads[10:12].max()
    uniform, other = random.random(2)
    if findings.voltage == "hypertrophy":
        return _within(difficulty.sokolow_mv, uniform) / sokolow
    if findings.voltage == "low":
        limb_mv = _within(difficulty.low_limb_mv, uniform)
        return min(limb_mv / limb, _within(difficulty.low_chest_mv, other) / chest)
    own = anatomy.chest_voltage_mv * _within(difficulty.normal_voltage, uniform)
    smallest, largest = difficulty.limb_range_mv
    wanted = max(own / chest, smallest / limb)
    return min(wanted, largest / limb, difficulty.largest_sokolow_mv / sokolow)


def _within(span: tuple[float, float], uniform: float) -> float:
    return span[0] + span[1] * uniform


def _draw_pr_interval(
    findings: Findings, mean_rr_s: float, random: np.random.Generator, difficulty: Difficulty
) -> float:
    uniform = random.random()
    if findings.av_block:
        return _within(difficulty.pr_blocked_s, uniform)
    shortest, reach = difficulty.pr_normal_s
    return shortest + (reach + 0.025 * min(mean_rr_s, 1.0)) * uniform


def _p_dipoles(findings: Findings, anatomy: Anatomy, vectors: np.ndarray) -> np.ndarray:
    """Return the right and left atrial waves (2, 3), scaled to the patient's P in lead II."""
    waves = np.array([[0.35, 0.85, -0.15], [0.60, 0.55, 0.30]])
    size = anatomy.p_wave_mv / (vectors[1] @ waves.mean(axis=0)) * 0.62
    return waves * size * (0.8 if findings.voltage == "low" else 1.0)


def _draw_st(
    findings: Findings,
    qrs: _Qrs,
    vectors: np.ndarray,
    random: np.random.Generator,
    difficulty: Difficulty,
) -> tuple[np.ndarray, float]:
    """Return the ST dipole (3,) and its level in the leads that define it."""
    uniform = random.random()
    if findings.conduction == "left_bundle_block":
        against = -(qrs.width_s @ qrs.dipole)
        level = 0.06 + 0.08 * uniform
        return against * level / np.abs(vectors[_CHEST] @ against).max(), level
    if findings.repolarisation not in _ST_DIRECTIONS:
        return _T_DIRECTION * difficulty.st_normal * uniform, 0.0
    direction, rows = _ST_DIRECTIONS[findings.repolarisation]
    low, high = difficulty.st_level_mv[findings.repolarisation]
    level = low + (high - low) * uniform
    direction = direction + random.normal(0.0, 0.06, 3)
    shown = np.abs(vectors[list(rows)] @ direction).max()
    sign = -1.0 if findings.repolarisation == "st_depression" else 1.0
    return direction * level / shown, sign * level


def _t_wave(
    findings: Findings,
    anatomy: Anatomy,
    qrs: _Qrs,
    vectors: np.ndarray,
    wobble: np.ndarray,
    difficulty: Difficulty,
) -> np.ndarray:
    """Return the T wave's dipole (3,), without what an elevated ST segment adds to it."""
    direction = _T_DIRECTION + wobble
    size = anatomy.t_wave_mv
    if findings.voltage == "low":
        size *= 0.6
    if findings.repolarisation == "t_inversion":
        direction = _T_INVERSION_DIRECTION + wobble
        share, smallest = difficulty.t_inverted
        size = max(share * size, smallest)
    elif findings.conduction == "left_bundle_block":
        against = -(qrs.width_s @ qrs.dipole)
        direction = against / np.linalg.norm(against) + wobble
    elif findings.conduction == "right_bundle_block":
        late = qrs.dipole[-1] / np.linalg.norm(qrs.dipole[-1])
        direction = _T_DIRECTION - 0.55 * late + wobble
    return direction * size / np.abs(vectors[_CHEST] @ direction).max()
