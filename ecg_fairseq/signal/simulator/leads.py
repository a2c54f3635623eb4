"""Electrodes to leads: the only place where potentials become the twelve leads."""

import numpy as np

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
NUM_ELECTRODES = len(ELECTRODES)
# Rows of a 12-lead array (canonical order) that determine the others.
BASE_ROWS = (0, 2, 6, 7, 8, 9, 10, 11)


def leads_from_electrodes(potentials: np.ndarray) -> np.ndarray:
    """Return the twelve leads of nine electrode potentials.

    Args:
        potentials: (9, T) in mV, rows as ``ELECTRODES``.

    Returns:
        (12, T), same dtype, canonical order. ``II == I + III``, ``aVR == -(I + II) / 2``,
        ``aVL == (I - III) / 2`` and ``aVF == (II + III) / 2`` hold exactly in that dtype.
    """
    right_arm, left_arm, left_leg = potentials[:3]
    leads = np.empty((12, *potentials.shape[1:]), dtype=potentials.dtype)
    np.subtract(left_arm, right_arm, out=leads[0])
    np.subtract(left_leg, left_arm, out=leads[2])
    wilson_terminal = (right_arm + left_arm + left_leg) / potentials.dtype.type(3)
    np.subtract(potentials[3:], wilson_terminal, out=leads[6:])
    fill_derived_leads(leads)
    return leads


def fill_derived_leads(leads: np.ndarray) -> None:
    """Overwrite rows II, aVR, aVL and aVF of ``leads`` (12, T) from rows I and III, in place."""
    half = leads.dtype.type(0.5)
    np.add(leads[0], leads[2], out=leads[1])
    np.multiply(leads[0] + leads[1], -half, out=leads[3])
    np.multiply(leads[0] - leads[2], half, out=leads[4])
    np.multiply(leads[1] + leads[2], half, out=leads[5])


def digitise(leads: np.ndarray, units_per_mv: float = 1000.0) -> np.ndarray:
    """Return int16 samples; Einthoven's relation is exact in them, Goldberger's to half a unit.

    Args:
        leads: (12, T) in mV, canonical order.
        units_per_mv: gain of the file.

    Returns:
        (12, T) int16, clipped to +-32767 (-32768 means "no sample" in WFDB format 16).
    """
    # Limb leads get half the range, so that II = I + III stays exact even where they saturate.
    base = np.rint(leads * leads.dtype.type(units_per_mv))
    base[[0, 2]] = np.clip(base[[0, 2]], -16383, 16383)
    fill_derived_leads(base)
    return np.clip(np.rint(base), -32767, 32767).astype(np.int16)
