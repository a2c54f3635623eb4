"""Label files ``y.npy``: one row for each recording, by its ``idx`` (fact sheet ecg-fm 1.5)."""

from pathlib import Path

import numpy as np

from ecg_fairseq.errors import ManifestError


def load_labels(path: Path | str) -> np.ndarray:
    """Open a label file, mapped: (recordings, K).

    Raises:
        ManifestError: it is missing, damaged, or not a table of numbers.
    """
    try:
        labels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ManifestError(
            f"label file {path} cannot be opened: {error}; the preparation writes one as "
            "MANIFEST_DIR/labels/y.npy"
        ) from error
    check_labels(labels, str(path))
    return labels


def check_labels(labels: np.ndarray, name: str = "the label array") -> None:
    """Refuse what is not a table of numbers; ManifestError."""
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or labels.dtype.kind not in "biuf":
        shape, dtype = np.shape(labels), getattr(labels, "dtype", type(labels).__name__)
        raise ManifestError(
            f"{name} holds {dtype} of shape {shape}; expected numbers, one row for each recording "
            "and one column for each label"
        )


def has_label(labels: np.ndarray) -> np.ndarray:
    """Return which rows have a label, that is no NaN, bool (recordings,)."""
    if labels.dtype.kind != "f":
        return np.ones(len(labels), dtype=bool)
    return ~np.isnan(labels).any(axis=1)
