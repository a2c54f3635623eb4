"""The recording: respiration, wander, mains, muscle noise, and the noise findings.

All noise is added to electrode potentials, so an arm electrode that comes loose disturbs three limb
leads and, through Wilson's terminal, a third of it every chest lead.
"""

from dataclasses import dataclass

import numpy as np

from ecg_fairseq.signal.simulator.leads import NUM_ELECTRODES
from ecg_fairseq.signal.simulator.rhythm import DURATION_S

MAINS_HZ = 50.0
_DISTURBANCE_RATE_HZ = 125.0  # muscle artefact holds little above 60 Hz, and survives at 100 Hz

# Electrodes that may be disturbed together, and the leads in which a reader sees it. Limbs move
# more than the chest, so two of three disturbances begin there.
DISTURBED = (
    ((0,), ("I", "II", "aVR")),
    ((1,), ("I", "III", "aVL")),
    ((2,), ("II", "III", "aVF")),
    (tuple(range(NUM_ELECTRODES)), ("all",)),
    ((3, 4), ("V1", "V2")),
    ((5, 6), ("V3", "V4")),
    ((7, 8), ("V5", "V6")),
)
_DISTURBED_SHARES = (0.20, 0.10, 0.20, 0.20, 0.10, 0.10, 0.10)


@dataclass(frozen=True)
class Nuisance:
    """Levels that say nothing about the heart: one distribution for every finding.

    Attributes:
        muscle_mv, mains_mv, wander_mv: standard deviation or amplitude at one electrode.
        gain: of the amplifier, within its calibration error.
        respiration_depth: share by which breathing changes the dipole's size.
        disturbed: index into ``DISTURBED``, used when a noise finding is present.
        disturbance: in [0, 1), its strength within the finding's range.
    """

    muscle_mv: float
    mains_mv: float
    wander_mv: float
    gain: float
    respiration_depth: float
    disturbed: int
    disturbance: float


def draw_nuisance(random: np.random.Generator) -> Nuisance:
    """Draw the levels of one recording; takes no findings, so it cannot depend on them."""
    return Nuisance(
        muscle_mv=float(np.exp(random.uniform(np.log(0.004), np.log(0.016)))),
        mains_mv=float(random.uniform(0.0, 0.010)),
        wander_mv=float(random.uniform(0.005, 0.06)),
        gain=float(np.exp(random.normal(0.0, 0.02))),
        respiration_depth=float(random.uniform(0.01, 0.05)),
        disturbed=int(random.choice(len(DISTURBED), p=_DISTURBED_SHARES)),
        disturbance=float(random.random()),
    )


def electrode_noise(
    finding: str, nuisance: Nuisance, fs_hz: float, random: np.random.Generator
) -> np.ndarray:
    """Return the noise of all electrodes.

    Args:
        finding: one of ``findings.NOISES``.
        nuisance: the recording's levels.
        fs_hz: sampling rate.
        random: the recording's noise generator.

    Returns:
        (9, T) float32 in mV.
    """
    num_samples = round(DURATION_S * fs_hz)
    time = np.arange(num_samples, dtype=np.float32) / np.float32(fs_hz)
    noise = random.standard_normal((NUM_ELECTRODES, num_samples), dtype=np.float32)
    noise *= np.float32(nuisance.muscle_mv)
    noise += _wander(np.full(NUM_ELECTRODES, nuisance.wander_mv), time, random)
    phase = np.float32(random.uniform(0.0, 2.0 * np.pi))
    pickup = random.uniform(0.3, 1.0, NUM_ELECTRODES).astype(np.float32)
    hum = np.sin(np.float32(2.0 * np.pi * MAINS_HZ) * time + phase)
    noise += (np.float32(nuisance.mains_mv) * pickup)[:, None] * hum
    if finding != "none":
        electrodes = list(DISTURBED[nuisance.disturbed][0])
        noise[electrodes] += _disturbance(finding, len(electrodes), nuisance, time, random)
    return noise


def _wander(amplitude_mv: np.ndarray, time: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return slow drifts (E, T) of the given amplitudes: two sines each, 0.06 to 0.45 Hz."""
    count = len(amplitude_mv)
    rates = random.uniform((0.06, 0.2), (0.2, 0.45), (count, 2)).astype(np.float32)
    phases = random.uniform(0.0, 2.0 * np.pi, (count, 2)).astype(np.float32)
    weights = np.array([0.65, 0.35], dtype=np.float32) * amplitude_mv[:, None].astype(np.float32)
    angles = np.float32(2.0 * np.pi) * rates[..., None] * time + phases[..., None]
    return (weights[..., None] * np.sin(angles)).sum(axis=1)


def _disturbance(
    finding: str, count: int, nuisance: Nuisance, time: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    strength = nuisance.disturbance
    if finding == "drift":
        return _wander(np.full(count, 0.45 + 0.45 * strength), time, random)
    knots = np.arange(0.0, DURATION_S + 0.1, 1.0 / _DISTURBANCE_RATE_HZ)
    raw = random.standard_normal((count, len(knots)))
    shaped = np.stack([np.interp(time, knots, row) for row in raw]).astype(np.float32)
    if finding == "static":
        return shaped * np.float32(0.07 + 0.06 * strength)
    envelope = np.zeros_like(time)
    for _ in range(int(random.integers(1, 4))):
        centre = random.uniform(0.8, DURATION_S - 0.8)
        half = random.uniform(0.3, 0.7)
        inside = np.abs(time - centre) < half
        envelope[inside] = np.maximum(
            envelope[inside], np.cos((time[inside] - centre) * (0.5 * np.pi / half))
        )
    return shaped * envelope * np.float32(0.25 + 0.2 * strength)
