"""Chooses between the compiled core ``ecg_bpe`` and, without it, the Python twin."""

from typing import Protocol

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.signal.compiled import compiled_core
from ecg_fairseq.tokenizer import twin
from ecg_fairseq.tokenizer.quantizer import Quantizer

MODES = ("greedy", "bpe")


class AnyEncoder(Protocol):
    """What both cores offer: uint32 ids out, ids given to ``decode`` already checked."""

    def encode(self, data: bytes) -> np.ndarray:
        """Encode one sequence."""

    def encode_batch(self, sequences: list[bytes], num_threads: int = 0) -> list[np.ndarray]:
        """Encode many sequences; 0 threads means one per core."""

    def encode_signals(
        self, values: np.ndarray, quantizer: Quantizer, num_threads: int = 0
    ) -> list[np.ndarray]:
        """Quantise and encode float (N, P) rows."""

    def decode(self, ids: np.ndarray) -> bytes:
        """Return the bytes of ids."""


def make_encoder(merges: np.ndarray, mode: str) -> AnyEncoder:
    """Return an encoder for checked merges (M, 2) int64.

    Raises:
        TokenizerError: an unknown mode, or tokens that need more memory than an encoder may take.
    """
    if mode not in MODES:
        raise TokenizerError(f"tokenizer mode must be one of {MODES}, got {mode!r}")
    core = compiled_core()
    if core is None:
        return twin.Encoder(merges, mode)
    try:
        return core.Encoder(merges, mode)
    except ValueError as error:
        raise TokenizerError(f"cannot build an encoder: {error}") from error
