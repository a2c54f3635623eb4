"""One recording: findings, anatomy and nuisances in; twelve leads out."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.simulator.anatomy import Anatomy
from ecg_fairseq.signal.simulator.difficulty import STANDARD, Difficulty
from ecg_fairseq.signal.simulator.findings import Findings
from ecg_fairseq.signal.simulator.leads import BASE_ROWS, fill_derived_leads, leads_from_electrodes
from ecg_fairseq.signal.simulator.noise import Nuisance, electrode_noise
from ecg_fairseq.signal.simulator.rhythm import DURATION_S, Rhythm, draw_rhythm
from ecg_fairseq.signal.simulator.waves import Beat, Waves, draw_beat, premature_waves

_WINDOW_S = (-0.46, 0.56)  # of one beat: from before the longest PR to after the longest QT
_PLATEAU_RISE_S = 0.010
_PLATEAU_FALL_S = 0.030
_FIBRILLATION_DIRECTION = np.array([-0.35, 0.40, -0.65])
_LEAD_V1 = 6
_FIR_TAPS_PER_STEP = 12


@dataclass(frozen=True)
class Recording:
    """A simulated recording and the truth about it.

    Attributes:
        signal: (12, T) float32 in mV, canonical lead order.
        clean: (12, T) the same before noise.
        fs_hz: sampling rate.
        rhythm: beat times.
        beat: the conducted beat's measurements.
    """

    signal: np.ndarray
    clean: np.ndarray
    fs_hz: float
    rhythm: Rhythm
    beat: Beat


def simulate_recording(
    findings: Findings,
    anatomy: Anatomy,
    nuisance: Nuisance,
    fs_hz: float,
    random: np.random.Generator,
    has_st: bool = True,
    difficulty: Difficulty = STANDARD,
) -> Recording:
    """Simulate ten seconds of twelve leads.

    Args:
        findings: what the recording must show.
        anatomy: the patient.
        nuisance: the recording's levels of noise.
        fs_hz: sampling rate, at least 100.
        random: the recording's own generator; nothing else is random.
        has_st: False leaves the conducted beats' ST segments flat and changes nothing else: with
            the same generator the twin of a recording, to compare with.
        difficulty: how far apart findings lie.
    """
    if fs_hz < 100:
        raise RecordError(f"a sampling rate of {fs_hz} Hz was asked for; give 100 Hz or more")
    beats_random, noise_random = random.spawn(2)
    rhythm = draw_rhythm(findings, beats_random, difficulty)
    beat = draw_beat(findings, anatomy, rhythm.mean_rr_s, beats_random, difficulty)
    if not has_st:
        beat = replace(beat, waves=replace(beat.waves, plateau_dipole=np.zeros(3)))
    num_samples = round(DURATION_S * fs_hz)
    time = np.arange(num_samples, dtype=np.float32) / np.float32(fs_hz)
    dipole = np.zeros((3, num_samples), dtype=np.float32)
    sizes = beats_random.normal(1.0, 0.015, len(rhythm.normal_s))
    _add_beats(dipole, beat.waves, rhythm.normal_s, sizes, fs_hz)
    if len(rhythm.premature_s):
        waves = premature_waves(anatomy, beats_random)
        sizes = beats_random.normal(1.0, 0.03, len(rhythm.premature_s))
        _add_beats(dipole, waves, rhythm.premature_s, sizes, fs_hz)
    if findings.atrial_fibrillation:
        dipole += _fibrillation_waves(anatomy, time, beats_random, difficulty)
    _breathe(dipole, rhythm, nuisance, time)
    potentials = _project(anatomy.lead_field * nuisance.gain, dipole)
    clean = leads_from_electrodes(potentials)
    potentials += electrode_noise(findings.noise, nuisance, fs_hz, noise_random)
    return Recording(leads_from_electrodes(potentials), clean, fs_hz, rhythm, beat)


def _add_beats(
    dipole: np.ndarray, waves: Waves, times_s: np.ndarray, sizes: np.ndarray, fs_hz: float
) -> None:
    """Add one beat at each of ``times_s`` to ``dipole`` (3, T), in place."""
    num_samples = dipole.shape[1]
    first = np.ceil((times_s + _WINDOW_S[0]) * fs_hz).astype(int)
    steps = np.arange(round((_WINDOW_S[1] - _WINDOW_S[0]) * fs_hz))
    time = ((first[:, None] + steps) / fs_hz - times_s[:, None]).astype(np.float32)
    shapes = _beat_dipole(waves, time) * sizes.astype(np.float32)[None, :, None]
    for row, start in enumerate(first):
        left, right = max(start, 0), min(start + len(steps), num_samples)
        if left < right:
            dipole[:, left:right] += shapes[:, row, left - start : right - start]


def _beat_dipole(waves: Waves, time: np.ndarray) -> np.ndarray:
    """Return the dipole (3, N, T) at ``time`` (N, T) seconds after each R."""
    single = np.float32
    start, end = waves.plateau_s
    plateau = np.tanh((time - single(start)) / single(_PLATEAU_RISE_S))
    plateau -= np.tanh((time - single(end)) / single(_PLATEAU_FALL_S))
    shape = (single(0.5) * waves.plateau_dipole.astype(single))[:, None, None] * plateau
    for centre, rise, fall, dipole in zip(
        waves.centre_s, waves.rise_s, waves.fall_s, waves.dipole.astype(single), strict=True
    ):
        left = int(np.searchsorted(time[:, :].min(axis=0), centre - 4.5 * rise))
        right = int(np.searchsorted(time[:, :].max(axis=0), centre + 4.5 * fall))
        offset = time[:, left:right] - single(centre)
        offset /= np.where(offset < 0, single(rise), single(fall))
        wave = np.exp(single(-0.5) * offset * offset)
        for axis in range(3):
            shape[axis, :, left:right] += dipole[axis] * wave
    return shape


def _fibrillation_waves(
    anatomy: Anatomy, time: np.ndarray, random: np.random.Generator, difficulty: Difficulty
) -> np.ndarray:
    """Return f waves (3, T): 4 to 8 per second, never quite regular, largest in V1."""
    knots = np.arange(0.0, DURATION_S + 0.5, 0.5)
    rate = random.uniform(4.8, 7.2) * np.exp(random.normal(0.0, 0.10, len(knots)))
    size = np.clip(1.0 + random.normal(0.0, 0.25, len(knots)), 0.4, 1.6)
    step = float(time[1] - time[0])
    phase = 2.0 * np.pi * np.cumsum(np.interp(time, knots, rate)) * step
    phase += random.uniform(0.0, 2.0 * np.pi)
    wave = (np.sin(phase) + 0.35 * np.sin(2.0 * phase + 0.6)) * np.interp(time, knots, size)
    direction = _FIBRILLATION_DIRECTION + random.normal(0.0, 0.08, 3)
    lead_v1 = leads_from_electrodes(anatomy.lead_field)[_LEAD_V1] @ direction
    direction *= random.uniform(*difficulty.fibrillation_wave_mv) / abs(lead_v1)
    return (direction[:, None] * wave).astype(np.float32)


def _breathe(dipole: np.ndarray, rhythm: Rhythm, nuisance: Nuisance, time: np.ndarray) -> None:
    """Let breathing change the dipole's size and turn it in the frontal plane, in place."""
    angle = np.float32(2.0 * np.pi * rhythm.respiration_hz) * time
    breath = np.sin(angle + np.float32(rhythm.respiration_phase))
    breath *= np.float32(nuisance.respiration_depth)
    x = dipole[0].copy()
    dipole[0] -= breath * dipole[1]
    dipole[1] += breath * x
    dipole *= np.float32(1.0) + breath


def _project(lead_field: np.ndarray, dipole: np.ndarray) -> np.ndarray:
    """Return electrode potentials (9, T); written out, so no BLAS thread count can matter."""
    field = lead_field.astype(np.float32)
    potentials = field[:, 0:1] * dipole[0]
    potentials += field[:, 1:2] * dipole[1]
    potentials += field[:, 2:3] * dipole[2]
    return potentials


@lru_cache
def _low_pass(step: int) -> np.ndarray:
    """Return the filter for keeping every ``step``-th sample: a windowed sinc of odd length."""
    half = _FIR_TAPS_PER_STEP * step // 2
    cutoff = 0.9 / step  # of the old Nyquist rate
    taps = np.sinc(cutoff * np.arange(-half, half + 1)) * np.hamming(2 * half + 1)
    return (taps / taps.sum()).astype(np.float32)


def resample_leads(leads: np.ndarray, fs_hz: int, target_hz: int) -> np.ndarray:
    """Return ``leads`` (12, T) at a lower rate, low-passed; the lead relations stay exact.

    Args:
        leads: (12, T) float32, canonical order.
        fs_hz: their rate, a multiple of ``target_hz``.
        target_hz: the wanted rate.

    Raises:
        RecordError: the rates do not divide.
    """
    step, rest = divmod(fs_hz, target_hz)
    if rest or step < 1:
        raise RecordError(
            f"cannot go from {fs_hz} Hz to {target_hz} Hz; give a multiple of {target_hz} Hz"
        )
    if step == 1:
        return leads.copy()
    half = _FIR_TAPS_PER_STEP * step // 2
    taps = _low_pass(step)
    padded = np.pad(leads[list(BASE_ROWS)], ((0, 0), (half, half)), mode="edge")
    num_samples = leads.shape[1] // step
    lowered = np.zeros((len(BASE_ROWS), num_samples), dtype=np.float32)
    # Only the kept samples are computed, tap by tap: as fast as scipy.signal.upfirdn, whose import
    # would take longer than a hundred recordings.
    for start, tap in enumerate(taps):
        lowered += tap * padded[:, start : start + num_samples * step : step]
    result = np.empty((12, num_samples), dtype=np.float32)
    result[list(BASE_ROWS)] = lowered
    fill_derived_leads(result)
    return result
