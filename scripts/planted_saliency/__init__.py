"""What scripts/saliency_truth.py measures."""
