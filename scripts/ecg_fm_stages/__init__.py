"""The steps of scripts/ecg_fm_results.py: what runs, how it is run, what is made of it."""
