"""Who the patient is: the lead field of one torso, and the habits of one heart.

Axes are Frank's: x to the left, y to the feet, z to the back. The mean lead field is that of the
Frank torso in Dower's form (Dower, Machado and Osborne 1980); each patient's differs by heart
orientation, electrode placement and electrode gain, and stays the same at every visit.
"""

from dataclasses import dataclass

import numpy as np

# Rows: leads I, II, V1..V6 for a dipole (x, y, z); mV of lead per mV of dipole.
_MEAN_LEAD_VECTORS = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
_CHEST_SHIFT_SD = 0.12  # along the chest, in units of the distance between two electrodes
_CHEST_HEIGHT_SD = 0.08  # y part of a chest lead vector per misplaced electrode
_CHEST_GAIN_SD = 0.04
_HEART_ROTATION_SD_RAD = 0.10
_NUM_SHAPES = 8


@dataclass(frozen=True)
class Anatomy:
    """One patient's torso and heart.

    Attributes:
        lead_field: (9, 3) float64, mV at the electrodes RA LA LL V1..V6 per mV of dipole.
        normal_axis_deg: frontal QRS axis when there is no deviation.
        chest_voltage_mv: largest peak-to-peak QRS over the chest leads when voltage is normal.
        t_wave_mv: largest T wave over the chest leads.
        p_wave_mv: P wave in lead II.
        premature_origin: (3,) direction of the premature beats' dipole (unit vector).
        shape: (8,) relative deviations of wave sizes and widths, near 1.
    """

    lead_field: np.ndarray
    normal_axis_deg: float
    chest_voltage_mv: float
    t_wave_mv: float
    p_wave_mv: float
    premature_origin: np.ndarray
    shape: np.ndarray


# Exits of ventricular premature beats: right outflow tract, left lateral wall, apex, right wall.
_PREMATURE_ORIGINS = np.array(
    [[0.45, 0.85, 0.30], [-0.75, 0.20, -0.60], [-0.45, -0.80, 0.35], [0.80, -0.40, 0.45]]
)


def draw_anatomy(random: np.random.Generator) -> Anatomy:
    """Draw one patient."""
    origin = _PREMATURE_ORIGINS[random.integers(len(_PREMATURE_ORIGINS))]
    origin = origin + random.normal(0.0, 0.12, 3)
    return Anatomy(
        lead_field=_draw_lead_field(random),
        normal_axis_deg=float(random.uniform(10.0, 78.0)),
        chest_voltage_mv=float(random.uniform(1.3, 2.4)),
        t_wave_mv=float(random.uniform(0.28, 0.62)),
        p_wave_mv=float(random.uniform(0.11, 0.19)),
        premature_origin=origin / np.linalg.norm(origin),
        shape=np.clip(random.normal(1.0, 0.07, _NUM_SHAPES), 0.8, 1.2),
    )


def _draw_lead_field(random: np.random.Generator) -> np.ndarray:
    chest = _MEAN_LEAD_VECTORS[2:]
    place = np.arange(6) + random.normal(0.0, _CHEST_SHIFT_SD, 6)
    left = np.clip(np.floor(place).astype(int), 0, 4)
    share = (place - left)[:, None]
    chest = (1.0 - share) * chest[left] + share * chest[left + 1]
    chest[:, 1] += random.normal(0.0, _CHEST_HEIGHT_SD, 6)
    chest *= np.exp(random.normal(0.0, _CHEST_GAIN_SD, 6))[:, None]
    lead_one, lead_two = _MEAN_LEAD_VECTORS[:2]
    # Potentials against Wilson's terminal, whose own potential is zero by definition.
    limbs = np.stack(
        [
            -(lead_one + lead_two) / 3.0,
            (2.0 * lead_one - lead_two) / 3.0,
            (2.0 * lead_two - lead_one) / 3.0,
        ]
    )
    angle_x, angle_y = random.normal(0.0, _HEART_ROTATION_SD_RAD, 2)
    return np.vstack([limbs, chest]) @ _rotation(angle_x, angle_y)


def _rotation(angle_x: float, angle_y: float) -> np.ndarray:
    """Return the (3, 3) rotation by ``angle_x`` about x, then ``angle_y`` about y (radians)."""
    cos_x, sin_x, cos_y, sin_y = np.cos(angle_x), np.sin(angle_x), np.cos(angle_y), np.sin(angle_y)
    about_x = np.array([[1, 0, 0], [0, cos_x, -sin_x], [0, sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    return about_y @ about_x
