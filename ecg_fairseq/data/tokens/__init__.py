"""ECG tokens of a manifest, encoded once and kept beside it."""
