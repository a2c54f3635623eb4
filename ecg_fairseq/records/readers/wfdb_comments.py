"""Age, sex and statements in the comment lines of WFDB headers, as each dataset spells them.

``#Age: 85`` and ``# Age: 56`` (PhysioNet challenge), ``#<age>: 51`` (LUDB), ``#<age>: 65 <sex>: F
<diagnoses> ...`` (INCART), ``# age: 81`` (PTB): one reader for all.
"""

import math
import re
from collections.abc import Sequence

# PTB-XL's convention, kept by the challenge: 300 years means "above 89".
AGE_ABOVE_89 = 300.0
_ABOVE_89 = (">89", ">=90", "90+", "89+", "≥90")
_SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
_SAYS_NOTHING = ("", "unknown", "n/a", "nan", "none")


def comment_lines(text: str) -> list[str]:
    """Return the comments of a header's text without ``#`` and outer blanks."""
    lines = (line.strip() for line in text.splitlines())
    return [line[1:].strip() for line in lines if line.startswith("#")]


def comment_value(comments: Sequence[str], name: str) -> str:
    """Return what follows ``name:`` in the first comment that has it; empty when none says.

    A value ends where ``<another name>`` begins; upper and lower case are one.
    """
    word = re.escape(name)
    pattern = re.compile(rf"(?:^{word}\s*:|<{word}>\s*:?)(?P<value>[^<]*)", re.IGNORECASE)
    for comment in comments:
        match = pattern.search(comment)
        if match:
            value = match["value"].strip()
            return "" if value.lower() in _SAYS_NOTHING else value
    return ""


def parse_age(text: str) -> float | None:
    """Return years; None for texts that are no age; ``>89`` is 300, as PTB-XL writes it.

    >>> parse_age("61,5"), parse_age("> 89"), parse_age("NaN"), parse_age("-3")
    (61.5, 300.0, None, None)
    """
    plain = text.replace(" ", "").replace(",", ".")
    if plain in _ABOVE_89:
        return AGE_ABOVE_89
    try:
        age = float(plain)
    except ValueError:
        return None
    return age if math.isfinite(age) and age >= 0 else None


def parse_sex(text: str) -> str:
    """Return ``female``, ``male``, or empty when it is not known."""
    return _SEXES.get(text.strip().lower(), "")
