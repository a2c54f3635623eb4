"""Written answers: the predictions file, exact match, closed sets, text metrics, and their floors.

``predictions.py`` and ``prediction_file.py`` hold what was answered (``generate_log.py`` reads it
from fairseq's log), ``exact_match.py`` the rules, ``majority_floor.py`` and ``blind.py`` the
floors, ``scores.py`` all figures of a result.
"""
