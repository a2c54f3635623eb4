"""One id space for text and ECG tokens (fact sheet ecg-byte.md 3.2).

The text rows of the language model come first and keep their ids. Behind them stand the new rows in
the order that the prompt layout declares: one for every ECG id that the tokens can give, ascending
(published ECG-Byte models also held 230 rows that never occur, in random order), and the layout's
special rows, before or after them. A layout without text gives a model of ECG tokens alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ecg_fairseq.errors import EcgError, TokenizerError
from ecg_fairseq.networks.language_model.text_tokenizer import TextTokenizer
from ecg_fairseq.tokenizer import EcgTokens

TEXT, ECG = "text", "ecg"


@dataclass(frozen=True)
class RowOrder:
    """Order and names of the rows; the defaults are those of ECG-Byte.

    Attributes:
        order: ``text`` (first, or absent), ``ecg`` (or absent) and the names of the special rows.
        ecg_name: name of an ECG row, with ``{id}`` for the ECG id.
        pad: the special row that pads.
        feature: the special row where a feature vector stands, or None.
        bos: what starts a sequence: a special row, or a token of the text tokenizer; None for the
            text tokenizer's own start token.
        eos: the same for the end of an answer.
    """

    order: tuple[str, ...] = (TEXT, ECG, "<sig_start>", "<sig_end>", "<pad>")
    ecg_name: str = "signal_{id}"
    pad: str = "<pad>"
    feature: str | None = None
    bos: str | None = None
    eos: str | None = None

    @property
    def special_names(self) -> tuple[str, ...]:
        """Names of the special rows, in row order."""
        return tuple(name for name in self.order if name not in (TEXT, ECG))


@dataclass(frozen=True)
class EcgVocabulary:
    """Maps ECG ids to rows of the language model.

    Attributes:
        num_text_rows: rows of the language model before any is added; 0 for a model without text.
        ecg_ids: the ECG ids that have a row, ascending.
        bos_id: row that starts every sequence, or None.
        eos_id: row that ends an answer.
        rows: order and names of the rows.
    """

    num_text_rows: int
    ecg_ids: tuple[int, ...]
    bos_id: int | None
    eos_id: int
    rows: RowOrder = field(default_factory=RowOrder)

    @classmethod
    def build(
        cls, rows: RowOrder, text: TextTokenizer | None, tokens: EcgTokens | None
    ) -> "EcgVocabulary":
        """Lay the rows out for a text tokenizer and ECG tokens.

        Args:
            rows: of the prompt layout.
            text: None where the layout has no text.
            tokens: None where the layout has no rows for ECG tokens.

        Raises:
            EcgError: the layout has text or ECG rows for which nothing is given, or names a start
                or end token that does not exist.
        """
        for name, given in ((TEXT, text), (ECG, tokens)):
            if name in rows.order and given is None:
                raise EcgError(
                    f"the prompt layout has {name} rows but no {name} tokenizer is given"
                )
        text = text if TEXT in rows.order else None
        num_text_rows = 0 if text is None else text.num_rows
        ids = () if tokens is None or ECG not in rows.order else tokens.emitted_ids()
        plain = cls(num_text_rows, tuple(int(k) for k in ids), None, -1, rows)
        bos = plain._token(rows.bos, text, None if text is None else text.bos_id)
        eos = plain._token(rows.eos, text, None if text is None else text.eos_id)
        if eos is None:
            raise EcgError("a layout without text must name its end token (vocabulary.eos)")
        return cls(num_text_rows, plain.ecg_ids, bos, eos, rows)

    def _token(
        self, name: str | None, text: TextTokenizer | None, default: int | None
    ) -> int | None:
        """Return the row of a named start or end token."""
        if name is None:
            return default
        if name in self.rows.special_names:
            return self.row_of(name)
        row = None if text is None else text.token_id(name)
        if row is None:
            raise EcgError(
                f"the prompt layout starts or ends with {name!r}, which is neither a special row "
                "of the layout nor a token of this text tokenizer; choose a text tokenizer "
                "(task.text_tokenizer) that has it, or another layout"
            )
        return row

    @cached_property
    def _first_rows(self) -> dict[str, int]:
        """First row of every entry of the order."""
        sizes = {TEXT: self.num_text_rows, ECG: len(self.ecg_ids)}
        first, found = 0, {}
        for name in self.rows.order:
            found[name] = first
            first += sizes.get(name, 1)
        return found

    def row_of(self, name: str) -> int:
        """Return the row of a special name; of ``ecg``, its first row."""
        return self._first_rows[name]

    @property
    def first_ecg_row(self) -> int:
        """Row of the first ECG id."""
        return self._first_rows.get(ECG, self.num_text_rows)

    @property
    def sig_start_id(self) -> int:
        """Row of ``<sig_start>``, where the layout has it."""
        return self.row_of("<sig_start>")

    @property
    def sig_end_id(self) -> int:
        """Row of ``<sig_end>``, where the layout has it."""
        return self.row_of("<sig_end>")

    @property
    def pad_id(self) -> int:
        """Row that pads."""
        return self.row_of(self.rows.pad)

    @property
    def feature_id(self) -> int | None:
        """Row where a feature vector stands, or None."""
        return None if self.rows.feature is None else self.row_of(self.rows.feature)

    @property
    def num_new_rows(self) -> int:
        """ECG rows and special rows."""
        return len(self.ecg_ids) + len(self.rows.special_names)

    @property
    def size(self) -> int:
        """All rows V."""
        return self.num_text_rows + self.num_new_rows

    @property
    def num_answer_rows(self) -> int:
        """Rows that an answer may hold: those of text; all where there is no text."""
        return self.num_text_rows or self.size

    def new_names(self) -> list[str]:
        """Names of the new rows, in row order."""
        names: list[str] = []
        for name in self.rows.order:
            if name == ECG:
                names += [self.rows.ecg_name.replace("{id}", str(k)) for k in self.ecg_ids]
            elif name != TEXT:
                names.append(name)
        return names

    def rows_of(self, ecg_tokens: np.ndarray) -> np.ndarray:
        """Map ECG ids (S,) to rows (S,) int64.

        Raises:
            TokenizerError: an id has no row, so the tokens come from another tokenizer.
        """
        table = self._ecg_table
        ecg_tokens = np.asarray(ecg_tokens, dtype=np.int64)
        places = np.minimum(np.searchsorted(table, ecg_tokens), max(len(table) - 1, 0))
        if len(table) == 0 or not np.array_equal(table[places], ecg_tokens):
            unknown = sorted(set(ecg_tokens.tolist()) - set(self.ecg_ids))[:5]
            raise TokenizerError(
                f"ECG tokens {unknown} have no row in this model; encode the recordings with the "
                "tokenizer that the model was trained with"
            )
        return places + self.first_ecg_row

    @cached_property
    def _ecg_table(self) -> np.ndarray:
        return np.asarray(self.ecg_ids, dtype=np.int64)

    def is_text(self, row: int) -> bool:
        """Tell whether a row belongs to the text tokenizer."""
        return row < self.num_text_rows

    def text_rows(self, rows: Sequence[int]) -> list[int]:
        """Keep the rows of text, drop ECG and special ones."""
        return [int(row) for row in rows if self.is_text(int(row))]

    def fingerprint(self, text_sha256: str, ecg_sha256: str) -> bytes:
        """Return 32 bytes that identify this id space and both tokenizers behind it."""
        parts: tuple[object, ...] = (
            self.num_text_rows,
            self.ecg_ids,
            self.bos_id,
            self.eos_id,
            text_sha256,
            ecg_sha256,
        )
        if self.rows != RowOrder():
            # ECG-Byte's order adds nothing: checkpoints from before layouts keep their fingerprint.
            parts = (*parts, self.rows.order, self.rows.ecg_name, self.rows.pad, self.rows.feature)
        return hashlib.sha256(repr(parts).encode()).digest()
