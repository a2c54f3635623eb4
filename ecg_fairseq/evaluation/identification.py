"""How often a probe finds its own person in a gallery."""

import numpy as np


def matched_share(
    gallery: np.ndarray, gallery_people: np.ndarray, probes: np.ndarray, probe_people: np.ndarray
) -> float:
    """Return the share of probes whose most similar gallery entry is of the same person.

    Args:
        gallery: (G, D); similarity is the dot product, and of equal ones the first counts.
        gallery_people: (G,).
        probes: (P, D).
        probe_people: (P,).

    Returns:
        0.0 to 1.0; 0.0 when there is no gallery or no probe.

    >>> entries = np.eye(2)
    >>> matched_share(entries, np.array([0, 1]), entries, np.array([0, 0]))
    0.5
    """
    if not len(gallery) or not len(probes):
        return 0.0
    best = (probes.astype(np.float64) @ gallery.astype(np.float64).T).argmax(axis=1)
    return float((gallery_people[best] == probe_people).mean())


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows (N, D) scaled to length 1; rows of zeros stay."""
    rows = rows.astype(np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
