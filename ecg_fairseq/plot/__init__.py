"""Pictures: recordings on ECG paper, token spans, score overlays, and the HTML report.

Every function returns a matplotlib Figure or a text; none touches pyplot or other global state.
"""
