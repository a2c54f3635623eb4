"""Losses that compare whole embeddings of a batch: CMSC, SimCLR and 3KG.

CMSC is published as CLOCS (Kiyasseh et al., ICML 2021), SimCLR by Chen et al. (ICML 2020), 3KG by
Gopal et al. (ML4H 2021); the formulas are in fact sheet ecg-fm.md section 4. Contrastive losses of
an ECG and its text are in ``clip_loss.py``. :class:`LossTerms` is what a loss of several parts
returns, a sum as fairseq's trainer wants it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ecg_fairseq.errors import EcgError

_NORM_FLOOR = 1e-8


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

    @classmethod
    def of_parts(cls, parts: dict[str, Tensor], num_terms: int) -> "LossTerms":
        """Return the parts with their sum as total."""
        return cls(torch.stack(list(parts.values())).sum(), parts, num_terms)


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
    embeddings = unit_rows(embeddings, detach_norm)
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
    embeddings: Tensor, owners: Tensor, temperature: float = 0.1, detach_norm: bool = True
) -> tuple[Tensor, int]:
    """Return the summed 3KG loss and its number of terms: one for each ordered positive pair.

    A pair is positive when its owner is the same; it competes with all rows of other owners.

    Args:
        embeddings: (B, D).
        owners: int (B,), each row's recording, as the criterion ``3kg`` has it, or patient.
        temperature: divides cosine similarities.
        detach_norm: see :func:`cmsc_loss`.

    Raises:
        EcgError: no owner has two rows.
    """
    similarity = _similarity(embeddings, temperature, detach_norm)
    is_same = owners.unsqueeze(1) == owners.unsqueeze(0)
    itself = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    is_pair = is_same & ~itself
    num_pairs = int(is_pair.sum())
    if not num_pairs:
        raise EcgError("3KG needs two views of a recording in a batch, and this one has none")
    others = similarity.masked_fill(is_same, -torch.inf).logsumexp(1, keepdim=True)
    # -log(exp(s) / (exp(s) + sum exp(others))) for each positive pair
    each = functional.softplus(others - similarity)
    return each[is_pair].sum(), num_pairs


def unit_rows(embeddings: Tensor, detach_norm: bool = False) -> Tensor:
    """Return embeddings (B, D) in float32, each of length 1.

    Args:
        embeddings: (B, D).
        detach_norm: see :func:`cmsc_loss`.
    """
    embeddings = embeddings.float()
    norm = embeddings.norm(dim=1, keepdim=True).clamp_min(_NORM_FLOOR)
    return embeddings / (norm.detach() if detach_norm else norm)


def _similarity(embeddings: Tensor, temperature: float, detach_norm: bool) -> Tensor:
    embeddings = unit_rows(embeddings, detach_norm)
    with torch.autocast(embeddings.device.type, enabled=False):
        return embeddings @ embeddings.t() / temperature
