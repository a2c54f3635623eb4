"""ECG language modelling on fairseq.

This package is also the fairseq user directory, and Python runs this file before any room below
it: so it loads no room, only the old module names' forwarding. fairseq itself finds the tasks and
models by scanning the folders.
"""

from ecg_fairseq.moved_modules import install

__version__ = "0.1.0"

install()
del install
