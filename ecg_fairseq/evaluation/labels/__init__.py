"""Scores of label probabilities: AUROC, the challenge score, probes, predictions files."""
