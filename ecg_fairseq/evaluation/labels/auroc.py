"""AUROC and AUPRC of several yes/no labels, named by how they are averaged.

``micro`` ranks every (segment, label) pair in one list, which is what fairseq-signals reports
whatever its ``auc_average`` says; ``macro`` is the mean over labels that have both values.
"""

from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import ScoreError


@dataclass(frozen=True)
class LabelScores:
    """AUROC and AUPRC of a set of segments; NaN where a label has only one value.

    Attributes:
        auroc_micro: area under the ROC curve of all pairs.
        auprc_micro: average precision of all pairs.
        auroc_macro: mean of ``auroc``.
        auprc_macro: mean of ``auprc``.
        auroc: (K,), of each label.
        auprc: (K,), of each label.
        num_scored: labels that the macro means include.
    """

    auroc_micro: float
    auprc_micro: float
    auroc_macro: float
    auprc_macro: float
    auroc: np.ndarray
    auprc: np.ndarray
    num_scored: int


def label_scores(labels: np.ndarray, scores: np.ndarray) -> LabelScores:
    """Return AUROC and AUPRC, of each label and averaged.

    Args:
        labels: (N, K) of 0 and 1.
        scores: (N, K), higher for a likelier 1; logits do.

    Raises:
        ScoreError: shapes differ, a label is neither 0 nor 1, or a score is not finite.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.shape != scores.shape or labels.ndim != 2:
        raise ScoreError(f"labels {labels.shape} and scores {scores.shape} must be (N, K) both")
    wrong = (labels != 0) & (labels != 1)
    if wrong.any():
        raise ScoreError(
            f"{int(wrong.sum())} labels are neither 0 nor 1, such as {labels[wrong][0]}; leave out "
            "what nobody labelled (NaN): label_table does, for each label by itself"
        )
    labels = labels.astype(bool)
    if not np.isfinite(scores).all():
        raise ScoreError("a score is not finite: the model diverged; lower optimization.lr")
    num_labels = labels.shape[1]
    auroc, auprc = np.full(num_labels, np.nan), np.full(num_labels, np.nan)
    for k in range(num_labels):
        if labels[:, k].any() and not labels[:, k].all():
            auroc[k] = roc_auc_score(labels[:, k], scores[:, k])
            auprc[k] = average_precision_score(labels[:, k], scores[:, k])
    has_both = ~np.isnan(auroc)
    is_mixed = bool(labels.any() and not labels.all())
    flat = labels.ravel(), scores.ravel()
    return LabelScores(
        auroc_micro=float(roc_auc_score(*flat)) if is_mixed else np.nan,
        auprc_micro=float(average_precision_score(*flat)) if is_mixed else np.nan,
        auroc_macro=float(auroc[has_both].mean()) if has_both.any() else np.nan,
        auprc_macro=float(auprc[has_both].mean()) if has_both.any() else np.nan,
        auroc=auroc,
        auprc=auprc,
        num_scored=int(has_both.sum()),
    )
