"""Label probabilities: AUROC and AUPRC, the challenge score, linear probes, predictions files.

``auroc.py`` scores one set of rows, as training logs it; ``auroc_table.py`` is the table of a
result: AUROC with the intervals of ``auroc_intervals.py`` over ``clustered_delong.py``, AUPRC with
draws of the patients from ``auroc_bootstrap.py`` over ``weighted_auroc.py``.
"""
