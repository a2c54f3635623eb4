"""ECG language modelling on fairseq.

This package is also the fairseq user directory, and Python runs this file before any room below
it: so it holds the version only. fairseq itself finds the tasks and models by scanning the folders.
"""

__version__ = "0.1.0"
