"""The compiled inner loops, where ``rust_bpe`` is installed: signals, tokenizer, question files.

Each has a readable twin in Python beside its caller that gives the same bits: nothing but speed
depends on whether the compiled core is there.
"""

import importlib
import logging
from functools import cache
from multiprocessing import parent_process
from typing import Any

logger = logging.getLogger(__name__)
# What the newest part of the package calls: a core without them was built from an older clone.
_NEEDED = ("zero_phase", "standardise_leads", "interpolate_leads", "AlikeLines")


@cache
def compiled_core() -> Any:
    """Return the module ``ecg_bpe``, or None: not installed, or built from an older clone.

    Without it one warning says how to get it; worker processes leave that to their parent.
    """
    try:
        core = importlib.import_module("ecg_bpe")
        missing = [name for name in _NEEDED if not hasattr(core, name)]
        reason = f"the one installed lacks {', '.join(missing)}" if missing else ""
    except ImportError as error:
        reason = str(error)
    if not reason:
        return core
    if parent_process() is None:
        logger.warning(
            "the compiled core is missing (%s); using the slow Python twin. "
            "To build it, install Rust and run: pip install ./rust_bpe",
            reason,
        )
    return None
