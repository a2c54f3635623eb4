"""Parts of scripts/scale_mimic.py: many records from few signals, a watched run, comparisons."""
