"""A manifest folder, opened: records, store, splits, and the checks between manifests."""

from ecg_fairseq.moved_modules import forward_from

__getattr__ = forward_from(__name__)
