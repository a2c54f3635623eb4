"""What a recipe is: every preprocessing step and constant of one system, named and hashed.

A recipe turns a recording of any layout into segments of one fixed layout. Its name and hash travel
into manifest, tokenizer and checkpoint, so that a model is never fed a signal prepared otherwise.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.files import sha256_of_json

Step = tuple[str, str, np.ndarray]


@dataclass(frozen=True)
class Strip:
    """One run of consecutive values of a flattened segment, all from one lead.

    Attributes:
        kind: ``lead`` (plain time axis), ``median_beat`` or ``rhythm``.
        fs_hz: rate of these values.
    """

    lead: str
    kind: str
    fs_hz: float
    num_samples: int

    def to_dict(self) -> dict[str, Any]:
        """Return the strip as a JSON object."""
        return {
            "lead": self.lead,
            "kind": self.kind,
            "fs_hz": self.fs_hz,
            "num_samples": self.num_samples,
        }


@dataclass(frozen=True)
class Recipe(ABC):
    """Base of all recipes: subclasses add their constants as fields and their steps as methods."""

    name: str
    version: int

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one segment."""

    @property
    @abstractmethod
    def strips(self) -> tuple[Strip, ...]:
        """The flattening order (C order of ``shape``)."""

    @abstractmethod
    def steps(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> list[Step]:
        """Return (step name, explanation, array after the step); the last array is the segments.

        Raises:
            RecordError: the record does not fit the recipe.
        """

    @abstractmethod
    def apply(self, signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> np.ndarray:
        """Prepare one recording.

        Args:
            signal: (L, T) in mV.
            leads: canonical names of its rows.
            fs_hz: its rate.

        Returns:
            float32 (num_segments, *shape) in ``unit``.

        Raises:
            RecordError: missing leads, NaN or Inf, an unsuitable rate, or too short.
        """

    def apply_scaled(
        self, signal: np.ndarray, leads: Sequence[str], fs_hz: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return what :meth:`apply` does, and what turns it into mV again.

        Returns:
            The segments, and float32 (num_segments, leads, 2): mean and deviation in mV that each
            lead of each segment was standardised by; None where the recipe does not say them.
        """
        return self.apply(signal, leads, fs_hz), None

    @property
    def unit(self) -> str:
        """Unit of the segments' values: ``mV``, or ``sd`` (standard deviations of the lead)."""
        return "mV"

    @property
    def num_values(self) -> int:
        """Values (symbols) of one segment."""
        return math.prod(self.shape)

    @property
    def segment_seconds(self) -> float:
        """Seconds of a recording from which each of its several segments is made."""
        return self.strips[0].num_samples / self.strips[0].fs_hz

    def constants(self) -> dict[str, Any]:
        """Return every constant as plain JSON values."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def hash(self) -> str:
        """Return the SHA-256 of kind, layout and all constants."""
        return sha256_of_json({"kind": type(self).__name__, **self.constants()})

    def input_hash(self) -> str:
        """Return a hash that is equal for recipes whose segments a network may read in turn.

        It is :meth:`hash` but for versions that differ in nothing but how many segments some
        recordings give.
        """
        return self.hash()

    def layout(self) -> dict[str, Any]:
        """Return shape and strips as a JSON object."""
        return {"shape": list(self.shape), "strips": [strip.to_dict() for strip in self.strips]}

    def describe(self) -> dict[str, Any]:
        """Return name, version, hash and constants, as written into ``meta.json``."""
        return {
            "name": self.name,
            "version": self.version,
            "hash": self.hash(),
            "constants": self.constants(),
        }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def check_signal(signal: np.ndarray, leads: Sequence[str], fs_hz: float) -> None:
    """Refuse what no recipe can use: wrong shape, NaN or Inf samples, a rate that is no rate.

    Raises:
        RecordError: says which lead holds how many bad samples.
    """
    if signal.ndim != 2 or signal.shape[0] != len(leads) or signal.size == 0:
        raise RecordError(
            f"signal of shape {signal.shape} with {len(leads)} lead names; expected (leads, "
            "samples) with one name per row"
        )
    if not (math.isfinite(fs_hz) and fs_hz > 0):
        raise RecordError(f"sampling rate {fs_hz}; expected a number above 0 Hz")
    if not np.isfinite(signal).all():
        bad = (~np.isfinite(signal)).sum(axis=1)
        worst = int(np.argmax(bad))
        raise RecordError(
            f"{int(bad.sum())} samples are NaN or Inf (lead {leads[worst]}: {int(bad[worst])}); "
            "recipes need finite samples, so the record is skipped"
        )
