"""Training losses of ECG-FM: hidden frames, alone or with CMSC (fact sheet ecg-fm.md section 4).

Losses that other systems use too are in ``layers/contrastive_losses.py`` and
``layers/classification_losses.py``.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ecg_fairseq.networks.ecg_fm.wav2vec2 import ContrastiveOutput
from ecg_fairseq.networks.layers.contrastive_losses import LossTerms, cmsc_loss


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
    return LossTerms.of_parts(parts, num_terms)


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
    return LossTerms.of_parts(parts, wav2vec2.num_terms)
