"""fairseq datasets of ECG segments: single ones, pairs, views, people; labels and batches."""
