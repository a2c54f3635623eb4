"""From the logits of segments to those of a recording, and ECG-FM's label names.

Source: fact sheet section 1.5.
"""

from collections.abc import Sequence

import numpy as np

from ecg_fairseq.errors import EcgError
from ecg_fairseq.evaluation.labels.by_recording import PUBLISHED_MAX_LABELS

AGGREGATES = ("mean", "max", "published")
# Outputs of the released classifier for MIMIC-IV-ECG, in their order.
MIMIC_IV_ECG_LABELS = (
    "Poor data quality",
    "Sinus rhythm",
    "Premature ventricular contraction",
    "Tachycardia",
    "Ventricular tachycardia",
    "Supraventricular tachycardia with aberrancy",
    "Atrial fibrillation",
    "Atrial flutter",
    "Bradycardia",
    "Accessory pathway conduction",
    "Atrioventricular block",
    "1st degree atrioventricular block",
    "Bifascicular block",
    "Right bundle branch block",
    "Left bundle branch block",
    "Infarction",
    "Electronic pacemaker",
)


def aggregate(logits: np.ndarray, labels: Sequence[str], how: str = "mean") -> np.ndarray:
    """Return the logits (K,) of a recording.

    Args:
        logits: (N, K) of its segments, N at least 1.
        labels: K names; ``published`` goes by them.
        how: one of ``AGGREGATES``. ``published``: the largest for five labels, for which one
            premature beat or one bad stretch is enough, and the mean for all others.

    Raises:
        EcgError: unknown way, or ``published`` and none of its labels is there.
    """
    if how not in AGGREGATES:
        raise EcgError(f"aggregate {how!r} is not one of {', '.join(AGGREGATES)}")
    mean, largest = logits.mean(axis=0), logits.max(axis=0)
    if how == "published":
        takes_largest = np.isin(labels, PUBLISHED_MAX_LABELS)
        if not takes_largest.any():
            raise EcgError(
                f"aggregate published goes by ECG-FM's labels ({PUBLISHED_MAX_LABELS[0]}, ...); "
                f"here they are {', '.join(labels[:6])}; name them with --labels, or use mean"
            )
        return np.where(takes_largest, largest, mean)
    return mean if how == "mean" else largest
