"""Written reports: text metrics, clinical agreement, and their floors.

``text.py`` compares words, ``agreement.py`` the statements that ``statements.py`` finds in them,
``floors.py`` says what can be had without looking at the ECG, ``scores.py`` puts a result together.
"""
