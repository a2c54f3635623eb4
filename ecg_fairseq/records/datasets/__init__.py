"""Public datasets, one file each: from what was downloaded to records, labels and splits."""
