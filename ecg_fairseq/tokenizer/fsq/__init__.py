"""ECG tokens of HeartLLM's autoencoder: one id for a short stretch of all leads."""
