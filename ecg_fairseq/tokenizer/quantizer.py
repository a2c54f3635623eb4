"""Quantiser: millivolts to letters and back (ECG-Byte fact sheet, section 1.6).

A value is clipped to ``[low, high]``, scaled to 0..1 and cut into equal bins; bin q becomes the
byte 97 + q, so 26 bins are the letters ``a``..``z``. Percentiles come from training records only
and are made elsewhere (``records/manifest``); here they are just the two ends of the range.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ecg_fairseq.errors import TokenizerError

FIRST_LETTER = 97
MAX_SYMBOLS = 256 - FIRST_LETTER
DECODE_RULES = ("centre", "reference")


@dataclass(frozen=True)
class Quantizer:
    """Maps mV to symbols ``97 + min(floor(num_symbols * z), num_symbols - 1)`` and back.

    ``z = clip((x - low) / (high - low + epsilon), 0, 1)``, computed in float64; NaN becomes the
    first letter. ``decode`` chooses the inverse: ``centre`` (bin centre, worst error half a bin) or
    ``reference`` (``q / 25 * (high - low) + low``, kept for published runs; worst error one bin).

    >>> Quantiser(low=0.0, high=1.0).symbols([0.0, 0.5, 9.0]).tobytes()
    b'amz'
    """

    low: float
    high: float
    num_symbols: int = 26
    epsilon: float = 1e-6
    decode: str = "centre"

    def __post_init__(self) -> None:
        for name in ("low", "high", "epsilon"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.number):
                raise TokenizerError(f"quantiser {name} must be a number, got {value!r}")
            try:
                object.__setattr__(self, name, float(value))
            except OverflowError as error:
                raise TokenizerError(f"quantiser {name} is too large for a float") from error
        if isinstance(self.num_symbols, bool) or not isinstance(self.num_symbols, int):
            raise TokenizerError(f"quantiser num_symbols must be an int, got {self.num_symbols!r}")
        if not 2 <= self.num_symbols <= MAX_SYMBOLS:
            raise TokenizerError(
                f"quantiser num_symbols must be 2..{MAX_SYMBOLS}, got {self.num_symbols}"
            )
        if not isinstance(self.decode, str) or self.decode not in DECODE_RULES:
            raise TokenizerError(f"quantiser decode must be one of {DECODE_RULES}")
        finite = math.isfinite(self.low) and math.isfinite(self.high) and self.epsilon >= 0
        if not finite or self.low >= self.high or not math.isfinite(self.scale):
            raise TokenizerError(
                f"quantiser needs finite low < high (mV), got low={self.low} high={self.high} "
                f"epsilon={self.epsilon}; take them from the training records' percentiles"
            )

    @property
    def scale(self) -> float:
        """Width of the range that is cut into bins, in mV: ``high - low + epsilon``."""
        return self.high - self.low + self.epsilon

    def symbols(self, values: Any) -> np.ndarray:
        """Return the uint8 symbols (97..96 + num_symbols) of float values in mV, same shape."""
        with np.errstate(over="ignore", invalid="ignore"):  # infinite values are clipped below
            scaled = (np.asarray(values, dtype=np.float64) - self.low) / self.scale
        # fmax/fmin drop NaN, so NaN ends in the first bin as in the reference
        bins = np.fmin(np.fmax(scaled, 0.0), 1.0) * self.num_symbols
        return (np.minimum(bins.astype(np.uint8), self.num_symbols - 1) + FIRST_LETTER).astype(
            np.uint8
        )

    def values(self, symbols: Any) -> np.ndarray:
        """Return float32 mV of uint8 symbols (array or bytes), same shape.

        Raises:
            TokenizerError: a byte outside the quantiser's alphabet.
        """
        if isinstance(symbols, bytes | bytearray | memoryview):
            symbols = np.frombuffer(symbols, dtype=np.uint8)
        bins = np.asarray(symbols, dtype=np.int64) - FIRST_LETTER
        if bins.size and (bins.min() < 0 or bins.max() >= self.num_symbols):
            wrong = int(bins[(bins < 0) | (bins >= self.num_symbols)].flat[0]) + FIRST_LETTER
            raise TokenizerError(
                f"symbol {wrong} is not a quantised value; expected bytes {FIRST_LETTER}.."
                f"{FIRST_LETTER + self.num_symbols - 1}"
            )
        if self.decode == "centre":
            table = (np.arange(self.num_symbols) + 0.5) / self.num_symbols * self.scale + self.low
        else:
            steps = np.arange(self.num_symbols) / (self.num_symbols - 1)
            table = steps * (self.high - self.low) + self.low
        return table.astype(np.float32)[bins]

    def to_dict(self) -> dict[str, Any]:
        """Return the constants as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, constants: Any) -> "Quantizer":
        """Build from :meth:`to_dict`'s form; unknown or missing fields are errors."""
        fields = {"low", "high", "num_symbols", "epsilon", "decode"}
        if not isinstance(constants, dict) or not {"low", "high"} <= set(constants) <= fields:
            raise TokenizerError(
                f"quantiser must be an object with low, high and optionally {sorted(fields)}"
            )
        return cls(**constants)
