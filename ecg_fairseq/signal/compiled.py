"""The compiled inner loops of the signal path, where ``rust_bpe`` is installed.

Each has a numpy or scipy form beside its caller that gives the same bits: nothing but speed depends
on whether the compiled core is there.
"""

import importlib
from functools import cache
from typing import Any

_NEEDED = ("zero_phase", "standardise_leads", "interpolate_leads")


@cache
def compiled_core() -> Any:
    """Return the module ``ecg_bpe``, or None: not installed, or built from an older clone."""
    try:
        core = importlib.import_module("ecg_bpe")
    except ImportError:
        return None
    return core if all(hasattr(core, name) for name in _NEEDED) else None
