"""The ``ecg-fairseq`` command: one module per verb, imported only when that verb is typed."""
