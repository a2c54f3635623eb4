"""How often a probe finds its own patient in a gallery."""

import numpy as np


def matched_share(
    gallery: np.ndarray,
    gallery_patients: np.ndarray,
    probes: np.ndarray,
    probe_patients: np.ndarray,
) -> float:
    """Return the share of probes whose most similar gallery entry is of the same patient.

    Args:
        gallery: (G, D); similarity is the dot product, and of equal ones the first counts.
        gallery_patients: (G,).
        probes: (P, D).
        probe_patients: (P,).

    Returns:
        0.0 to 1.0; 0.0 when there is no gallery or no probe.

    >>> entries = np.eye(2)
    >>> matched_share(entries, np.array([0, 1]), entries, np.array([0, 0]))
    0.5
    """
    if not len(gallery) or not len(probes):
        return 0.0
    best = (probes.astype(np.float64) @ gallery.astype(np.float64).T).argmax(axis=1)
    return float((gallery_patients[best] == probe_patients).mean())


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows (N, D) scaled to length 1; rows of zeros stay."""
    rows = rows.astype(np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
