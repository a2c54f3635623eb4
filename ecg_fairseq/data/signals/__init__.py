"""fairseq datasets of ECG segments: single ones, pairs, views, patients; labels and batches."""
