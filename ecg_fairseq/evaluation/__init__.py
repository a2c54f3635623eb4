"""Scores of generated answers: exact match, closed set, text metrics, floors and intervals.

Thin layers over sacrebleu, rouge-score and nltk. Needs no fairseq and no torch; nothing here reads
signals or runs a model.
"""
