"""A manifest folder, opened: records, store, splits, and the checks between manifests."""
