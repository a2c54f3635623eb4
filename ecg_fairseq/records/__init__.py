"""Recordings and manifests: readers, packed store, splits, leakage checks. No torch, no fairseq."""
