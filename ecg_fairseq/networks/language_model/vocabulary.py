"""One id space for text and ECG tokens (fact sheet ecg-byte.md 3.2).

The text rows of the language model come first and keep their ids. Behind them, in stable order: one
row ``signal_<k>`` for every ECG-BPE id k that the encoder can emit, ascending (published models
also held 230 rows that never occur, in random order), then ``<sig_start>``, ``<sig_end>``,
``<pad>``.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecg_fairseq.errors import TokenizerError

SPECIAL_NAMES = ("<sig_start>", "<sig_end>", "<pad>")


@dataclass(frozen=True)
class EcgVocabulary:
    """Maps ECG-BPE ids to rows of the language model.

    Attributes:
        num_text_rows: rows of the language model before any is added.
        ecg_ids: the ECG-BPE ids that have a row, ascending.
        bos_id: row that starts every sequence, or None.
        eos_id: row that ends an answer.
    """

    num_text_rows: int
    ecg_ids: tuple[int, ...]
    bos_id: int | None
    eos_id: int

    @property
    def sig_start_id(self) -> int:
        """Row of ``<sig_start>``."""
        return self.num_text_rows + len(self.ecg_ids)

    @property
    def sig_end_id(self) -> int:
        """Row of ``<sig_end>``."""
        return self.sig_start_id + 1

    @property
    def pad_id(self) -> int:
        """Row of ``<pad>``."""
        return self.sig_start_id + 2

    @property
    def num_new_rows(self) -> int:
        """ECG rows and the three special rows."""
        return len(self.ecg_ids) + len(SPECIAL_NAMES)

    @property
    def size(self) -> int:
        """All rows V."""
        return self.num_text_rows + self.num_new_rows

    def new_names(self) -> list[str]:
        """Names of the new rows, in row order."""
        return [f"signal_{k}" for k in self.ecg_ids] + list(SPECIAL_NAMES)

    def rows_of(self, ecg_tokens: np.ndarray) -> np.ndarray:
        """Map ECG-BPE ids (S,) to rows (S,) int64.

        Raises:
            TokenizerError: an id has no row, so the tokens come from another tokenizer.
        """
        table = np.asarray(self.ecg_ids, dtype=np.int64)
        ecg_tokens = np.asarray(ecg_tokens, dtype=np.int64)
        places = np.minimum(np.searchsorted(table, ecg_tokens), max(len(table) - 1, 0))
        if len(table) == 0 or not np.array_equal(table[places], ecg_tokens):
            unknown = sorted(set(ecg_tokens.tolist()) - set(self.ecg_ids))[:5]
            raise TokenizerError(
                f"ECG tokens {unknown} have no row in this model; encode the recordings with the "
                "tokenizer that the model was trained with"
            )
        return places + self.num_text_rows

    def is_text(self, row: int) -> bool:
        """Tell whether a row belongs to the text tokenizer."""
        return row < self.num_text_rows

    def text_rows(self, rows: Sequence[int]) -> list[int]:
        """Keep the rows of text, drop ECG and special ones."""
        return [int(row) for row in rows if self.is_text(int(row))]

    def fingerprint(self, text_sha256: str, ecg_sha256: str) -> bytes:
        """Return 32 bytes that identify this id space and both tokenizers behind it."""
        parts = (
            self.num_text_rows,
            self.ecg_ids,
            self.bos_id,
            self.eos_id,
            text_sha256,
            ecg_sha256,
        )
        return hashlib.sha256(repr(parts).encode()).digest()
