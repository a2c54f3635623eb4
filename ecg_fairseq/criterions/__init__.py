"""fairseq criterions. Imported by tasks/__init__.py: fairseq's scan does not look here."""

from ecg_fairseq.criterions import (
    arcface,
    binary_cross_entropy_with_logits,
    cmsc,
    ecg_answer_cross_entropy,
    fsq_reconstruction,
    simclr,
    three_kg,
    wav2vec2,
    wav2vec2_with_cmsc,
)

__all__ = [
    "arcface",
    "binary_cross_entropy_with_logits",
    "cmsc",
    "ecg_answer_cross_entropy",
    "fsq_reconstruction",
    "simclr",
    "three_kg",
    "wav2vec2",
    "wav2vec2_with_cmsc",
]
