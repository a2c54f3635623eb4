"""Plain torch networks; nothing here knows fairseq.

One folder a system, over the shared rooms layers/, encoders/ and language_model/; ``trained.py``
opens any system's checkpoints.
"""
