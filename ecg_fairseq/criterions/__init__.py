"""fairseq criterions. Imported by tasks/__init__.py: fairseq's scan does not look here."""

from ecg_fairseq.criterions import ecg_answer_cross_entropy

__all__ = ["ecg_answer_cross_entropy"]
