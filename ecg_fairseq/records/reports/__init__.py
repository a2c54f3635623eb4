"""What written reports say: a labeler of rules, its tables, and the labels of manifests from it.

``normalization.py`` brings texts into one spelling, ``phrases.py`` finds the tables' phrases,
``labeler_tables.py`` reads and checks the tables, ``negation.py`` reads which
findings are denied, ``labeler.py`` turns phrases into labels.
"""
