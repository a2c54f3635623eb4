"""Signal processing on plain arrays: leads, filters, resampling, beats, recipes, simulator.

Needs numpy, scipy and PyWavelets only; knows nothing of files, manifests or models.
"""
