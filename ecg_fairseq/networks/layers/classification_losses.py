"""Losses of classifiers: binary cross-entropy with weights of positive examples, and ArcFace.

Every function returns a sum, as fairseq's trainer wants it. ArcFace: Deng et al., CVPR 2019; both
formulas are in fact sheet ecg-fm.md section 4.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ecg_fairseq.errors import EcgError

_COSINE_MARGIN = 1e-6


def arcface_loss(
    cosines: Tensor, labels: Tensor, scale: float = 32.0, margin: float = 0.5
) -> Tensor:
    """Return the summed ArcFace loss: the true patient's angle must win by ``margin``.

    Args:
        cosines: (B, K), of an ArcFace classifier.
        labels: int64 (B,).
        scale: multiplies cosines.
        margin: in radians.
    """
    theta_limit = torch.tensor(torch.pi - margin).cos().item()
    shift = torch.tensor(margin)
    true = cosines.float().gather(1, labels.unsqueeze(1)).clamp(-1.0, 1.0)
    # At |cos| = 1 the root has no finite slope.
    sine = (1.0 - true.pow(2)).clamp_min(_COSINE_MARGIN).sqrt()
    shifted = true * shift.cos().item() - sine * shift.sin().item()
    # Past this angle theta + margin would wind round pi: a straight line goes on instead.
    past = true - margin * shift.sin().item()
    shifted = torch.where(true > theta_limit, shifted, past)
    logits = cosines.float().scatter(1, labels.unsqueeze(1), shifted) * scale
    return functional.cross_entropy(logits, labels, reduction="sum")


def binary_cross_entropy(
    logits: Tensor, labels: Tensor, pos_weight: Tensor | None = None, weight: Tensor | None = None
) -> Tensor:
    """Return the summed binary cross-entropy.

    Args:
        logits: (B, K).
        labels: (B, K), 0 or 1.
        pos_weight: (K,), of the ones; see :func:`positive_weights`.
        weight: (K,), of the labels.

    Raises:
        EcgError: the shapes differ.
    """
    if logits.shape != labels.shape:
        raise EcgError(
            f"the model scores {tuple(logits.shape)} but the labels are {tuple(labels.shape)}; set "
            "model.num_labels to the number of columns of task.label_file"
        )
    return functional.binary_cross_entropy_with_logits(
        logits.float(), labels.float(), weight=weight, pos_weight=pos_weight, reduction="sum"
    )


def positive_weights(values: Sequence[float], num_labels: int) -> Tensor:
    """Return the weights of positive examples as a tensor (K,).

    Args:
        values: one for each label.
        num_labels: K.

    Raises:
        EcgError: another number of them, or one that is not finite and positive: a label without
            any positive training example has an infinite one.
    """
    if len(values) != num_labels:
        raise EcgError(
            f"criterion.pos_weight has {len(values)} values for {num_labels} labels; give one for "
            "each column of the label file"
        )
    weights = torch.tensor([float(value) for value in values])
    bad = (~weights.isfinite() | (weights <= 0)).nonzero().flatten().tolist()
    if bad:
        raise EcgError(
            f"criterion.pos_weight[{bad[0]}]={float(weights[bad[0]])} is not a finite positive "
            "number: a label without a positive training example has no weight; drop the label or "
            "give it weight 1"
        )
    return weights
