"""Types of the compiled module; every refusal is a ValueError or TypeError."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__version__: str

class _Quantiser(Protocol):
    @property
    def low(self) -> float: ...
    @property
    def scale(self) -> float: ...
    @property
    def num_symbols(self) -> int: ...

class Encoder:
    def __new__(cls, merges: NDArray[np.int64], mode: str) -> Encoder: ...
    def encode(self, data: bytes) -> NDArray[np.uint32]: ...
    def encode_batch(
        self, sequences: list[bytes], num_threads: int = 0
    ) -> list[NDArray[np.uint32]]: ...
    def encode_signals(
        self, values: NDArray[Any], quantiser: _Quantiser, num_threads: int = 0
    ) -> list[NDArray[np.uint32]]: ...
    def decode(self, ids: NDArray[np.int64]) -> bytes: ...

class Trainer:
    def __new__(
        cls,
        num_merges: int,
        min_count: int = 1,
        num_threads: int = 0,
        prefix: NDArray[np.int64] | None = None,
    ) -> Trainer: ...
    def reserve(self, num_cells: int) -> None: ...
    def add(self, data: NDArray[np.uint8], end: bool = True) -> None: ...
    def run(self, max_merges: int, max_seconds: float) -> tuple[int, str | None]: ...
    def merges(self) -> NDArray[np.int64]: ...
    def counts(self) -> NDArray[np.uint64]: ...
    def size(self) -> tuple[int, int]: ...

class AlikeLines:
    def __new__(cls, form: tuple[bytes, list[bytes], bytes, bytes, list[int]]) -> AlikeLines: ...
    def cut(
        self,
        text: NDArray[np.uint8],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        number: int,
    ) -> tuple[NDArray[np.int64], ...] | None: ...

def zero_phase(
    signal: NDArray[np.float64],
    numerator: NDArray[np.float64],
    denominator: NDArray[np.float64],
    initial_state: NDArray[np.float64],
    padding: int,
) -> NDArray[np.float64] | None: ...
def standardise_leads(
    leads: NDArray[np.float64], is_flat: NDArray[np.bool_], flat_share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def interpolate_leads(
    signal: NDArray[Any],
    left: NDArray[np.int64],
    way: NDArray[np.float64],
    steps: NDArray[np.float64],
) -> NDArray[np.float64]: ...
def train_by_recount(
    sequences: list[bytes], num_merges: int, min_count: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]: ...
