"""What a model's outputs are worth, always beside floors and with intervals by patient.

``answers/`` scores written answers, ``labels/`` probabilities of labels and frozen embeddings;
``identification.py`` finds patients again, ``intervals.py`` is the bootstrap that all share, and
``training_log.py`` and ``metrics_csv.py`` hold training curves. Thin layers over sacrebleu,
rouge-score, nltk and scikit-learn. Needs no fairseq; nothing here reads signals or runs a network.
"""
