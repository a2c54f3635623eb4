"""What every ECG encoder is read with: heads, pooling, saliency, checkpoints, recordings."""
