"""Values in JSON files that others published: whole numbers and texts, and nothing taken for them.

``int(1.7)`` and ``str(None)`` give something; here ``1.7``, ``Infinity``, ``null`` and lists are
refused where a number or a text is needed, as are lone surrogates (``"\\ud800"`` is JSON, but no
text that a file can hold).
"""

import math
from typing import Any


def whole_of(value: Any, name: str) -> int:
    """Return a whole number, which may be written as a text or with ``.0``.

    Raises:
        ValueError: it is none.

    >>> whole_of("00123", "ecg_id"), whole_of(4.0, "ecg_id")
    (123, 4)
    """
    is_number = isinstance(value, int | float | str) and not isinstance(value, bool)
    try:
        if is_number and (isinstance(value, str) or int(value) == value):
            return int(value)
    except (ValueError, OverflowError):
        pass  # "abc", NaN, Infinity
    raise ValueError(f"{name} is {_shown(value)}; expected a whole number")


def text_of(value: Any, name: str) -> str:
    """Return a text; a number is taken as it is written.

    Raises:
        ValueError: it is neither, or holds lone surrogates.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (isinstance(value, str) or (is_number and math.isfinite(value))):
        raise ValueError(f"{name} is {_shown(value)}; expected a text")
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name} is {_shown(value)}, which no file can hold as text") from None
    return text


def texts_of(value: Any, name: str) -> list[str]:
    """Return the texts of a list; ValueError when it is no list, or holds something else."""
    if not isinstance(value, list):
        raise ValueError(f"{name}: {_shown(value)} is not a list of texts")
    return [text_of(item, name) for item in value]


def _shown(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
