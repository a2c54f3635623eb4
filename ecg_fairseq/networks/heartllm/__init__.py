"""HeartLLM: ECG tokens of an autoencoder with finite scalar quantization (arXiv 2508.15338)."""
