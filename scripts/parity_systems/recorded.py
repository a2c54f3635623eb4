"""Numbers recorded as text: how many of their digits are known."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

# A trailing zero is not written, so that 0.4 may stand for 0.400; no log has fewer decimals.
_FEWEST_DECIMALS = 3


class RecordedNumber(float):
    """A float of a text file that knows half a unit of its last written digit."""

    half_unit: float

    def __new__(cls, text: str) -> "RecordedNumber":
        """Take the text as written."""
        number = super().__new__(cls, text)
        number.half_unit = half_unit_of(text)
        return number


def half_unit_of(text: str) -> float:
    """Return half a unit of the last digit of a number, at least three decimals taken as known."""
    exponent = Decimal(text).as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) else _FEWEST_DECIMALS
    # Binary forms of both numbers may differ from the decimal one by a rounding more.
    return 0.5000001 * 10.0 ** -max(decimals, _FEWEST_DECIMALS)


def read_recorded(path: Path) -> Any:
    """Read JSON; its numbers with a point are of class :class:`RecordedNumber`."""
    return json.loads(path.read_text(encoding="utf-8"), parse_float=RecordedNumber)


def tolerance_of(recorded: float, relative: float) -> float:
    """Return the difference that counts as equal: relative, or what rounding hides."""
    return max(relative * abs(recorded), getattr(recorded, "half_unit", 0.0))
