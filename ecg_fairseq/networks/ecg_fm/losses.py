"""Training losses of ECG-FM and of the methods it is compared with (fact sheet section 4).

Every function returns a sum, as fairseq's trainer wants it, and says how many terms were summed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.ecg_fm.wav2vec2 import ContrastiveOutput

_NORM_FLOOR = 1e-8
_COSINE_MARGIN = 1e-6


@dataclass(frozen=True)
class LossTerms:
    """A loss and its parts.

    Attributes:
        total: the sum that is minimised.
        parts: name -> what each term adds to the sum.
        num_terms: S, by which the trainer divides.
    """

    total: Tensor
    parts: dict[str, Tensor]
    num_terms: int


def wav2vec2_loss(
    output: ContrastiveOutput,
    infonce: bool = True,
    diversity_weight: float = 0.0,
    penalty_weight: float = 0.0,
) -> LossTerms:
    """Return the contrastive loss of hidden frames.

    Args:
        output: of :class:`EcgWav2Vec2`.
        infonce: cross-entropy over target and negatives; False: each one by itself, as true or not.
        diversity_weight: of (codes - prob_perplexity) / codes, which wants all codes to be used.
        penalty_weight: of the convolutions' mean square.
    """
    logits = output.flat_logits.float()
    num_terms = len(logits)
    if infonce:
        right = torch.zeros(num_terms, dtype=torch.long, device=logits.device)
        parts = {"contrastive": functional.cross_entropy(logits, right, reduction="sum")}
    else:
        truth = torch.zeros_like(logits)
        truth[:, 0] = 1.0
        # A negative that equals the target is no example of anything.
        each = functional.binary_cross_entropy_with_logits(
            logits.nan_to_num(neginf=0.0), truth, reduction="none"
        )
        parts = {"contrastive": each.masked_fill(logits.isneginf(), 0.0).sum()}
    if diversity_weight and output.quantized is not None:
        unused = (output.num_vars - output.quantized.prob_perplexity) / output.num_vars
        parts["diversity"] = diversity_weight * unused * num_terms
    if penalty_weight:
        parts["penalty"] = penalty_weight * output.encoded.features_penalty * num_terms
    return LossTerms(_sum(parts), parts, num_terms)


def wav2vec2_with_cmsc_loss(
    output: ContrastiveOutput,
    patient_ids: Tensor,
    segments: Tensor,
    wav2vec2: LossTerms,
    cmsc_weight: float = 1.0,
    temperature: float = 0.1,
) -> LossTerms:
    """Return ECG-FM's joint loss: the contrastive one plus CMSC of the masked segments' embeddings.

    CMSC is a mean, so it is multiplied by the number of frames that the first loss sums over.

    Args:
        output: of :class:`EcgWav2Vec2`.
        patient_ids: int (B,), equal for segments that belong together.
        segments: int (B,), 0 or 1.
        wav2vec2: the loss of the same output.
        cmsc_weight: of the second loss.
        temperature: of the second loss.
    """
    cmsc = cmsc_loss(output.encoded.pooled, patient_ids, segments, temperature)
    parts = {**wav2vec2.parts, "cmsc": cmsc_weight * cmsc * wav2vec2.num_terms}
    return LossTerms(_sum(parts), parts, wav2vec2.num_terms)


def cmsc_loss(
    embeddings: Tensor,
    patient_ids: Tensor,
    segments: Tensor,
    temperature: float = 0.1,
    detach_norm: bool = True,
) -> Tensor:
    """Return the mean CMSC loss: first and second segments of a recording find each other.

    Args:
        embeddings: (B, D).
        patient_ids: int (B,); every pair of a first and a second segment with equal id is positive.
        segments: int (B,), 0 or 1.
        temperature: divides cosine similarities.
        detach_norm: treat an embedding's length as a constant, as ECG-FM was trained; False gives
            the gradient of the cosine.

    Raises:
        EcgError: the batch holds no positive pair.
    """
    embeddings = _normalized(embeddings, detach_norm)
    first, second = segments == 0, segments == 1
    with torch.autocast(embeddings.device.type, enabled=False):
        similarity = embeddings[first] @ embeddings[second].t() / temperature
    is_pair = patient_ids[first].unsqueeze(1) == patient_ids[second].unsqueeze(0)
    if not bool(is_pair.any()):
        raise EcgError(
            "CMSC needs two segments (0 and 1) of one recording in a batch, and this one has "
            f"{int(first.sum())} first and {int(second.sum())} second segments without a pair; "
            "check the CMSC manifest and raise dataset.batch_size"
        )
    rows = similarity.log_softmax(1)[is_pair].mean()
    columns = similarity.log_softmax(0)[is_pair].mean()
    return -(rows + columns) / 2


def simclr_loss(embeddings: Tensor, temperature: float = 0.1, detach_norm: bool = True) -> Tensor:
    """Return the summed SimCLR loss of 2N rows in which rows 2i and 2i + 1 are two views of one.

    Args:
        embeddings: (2N, D).
        temperature: divides cosine similarities.
        detach_norm: see :func:`cmsc_loss`.

    Raises:
        EcgError: an odd number of rows.
    """
    num_rows = len(embeddings)
    if num_rows % 2:
        raise EcgError(f"SimCLR needs two views of each segment, got {num_rows} rows")
    rows = torch.arange(num_rows, device=embeddings.device)
    similarity = _similarity(embeddings, temperature, detach_norm)
    itself = torch.eye(num_rows, dtype=torch.bool, device=embeddings.device)
    partner = rows ^ 1
    return functional.cross_entropy(
        similarity.masked_fill(itself, -torch.inf), partner, reduction="sum"
    )


def three_kg_loss(
    embeddings: Tensor, patient_ids: Tensor, temperature: float = 0.1, detach_norm: bool = True
) -> tuple[Tensor, int]:
    """Return the summed 3KG loss and its number of terms: one for each ordered positive pair.

    A pair is positive when its patient is the same; it competes with all rows of other patients.

    Args:
        embeddings: (B, D).
        patient_ids: int (B,).
        temperature: divides cosine similarities.
        detach_norm: see :func:`cmsc_loss`.

    Raises:
        EcgError: no patient has two rows.
    """
    similarity = _similarity(embeddings, temperature, detach_norm)
    is_same = patient_ids.unsqueeze(1) == patient_ids.unsqueeze(0)
    itself = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    is_pair = is_same & ~itself
    num_pairs = int(is_pair.sum())
    if not num_pairs:
        raise EcgError("3KG needs two views of a patient in a batch, and this one has none")
    others = similarity.masked_fill(is_same, -torch.inf).logsumexp(1, keepdim=True)
    # -log(exp(s) / (exp(s) + sum exp(others))) for each positive pair
    each = functional.softplus(others - similarity)
    return each[is_pair].sum(), num_pairs


def arcface_loss(
    cosines: Tensor, labels: Tensor, scale: float = 32.0, margin: float = 0.5
) -> Tensor:
    """Return the summed ArcFace loss: the true person's angle must win by ``margin``.

    Args:
        cosines: (B, K), of :class:`EcgArcFace`.
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


def _normalized(embeddings: Tensor, detach_norm: bool) -> Tensor:
    embeddings = embeddings.float()
    norm = embeddings.norm(dim=1, keepdim=True).clamp_min(_NORM_FLOOR)
    return embeddings / (norm.detach() if detach_norm else norm)


def _similarity(embeddings: Tensor, temperature: float, detach_norm: bool) -> Tensor:
    embeddings = _normalized(embeddings, detach_norm)
    with torch.autocast(embeddings.device.type, enabled=False):
        return embeddings @ embeddings.t() / temperature


def _sum(parts: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(parts.values())).sum()
