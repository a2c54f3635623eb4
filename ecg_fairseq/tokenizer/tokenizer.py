"""EcgTokenizer: an immutable tokenizer with everything needed to use it and to check its origin.

Holds the merges, the encoding mode, the quantiser, the recipe and split it was trained on. Training
is in ``training``, the algorithms in ``rust_bpe`` and ``twin``.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.files import atomic_write, read_json
from ecg_fairseq.tokenizer.core import MODES, AnyEncoder, make_encoder
from ecg_fairseq.tokenizer.ecg_tokens import DEFAULT_KIND, MAX_FILE_BYTES, register_kind
from ecg_fairseq.tokenizer.merges import (
    NUM_BASE_IDS,
    checked_ids,
    checked_merges,
    expansion_lengths,
    expansions,
)
from ecg_fairseq.tokenizer.quantizer import FIRST_LETTER, Quantizer

if TYPE_CHECKING:
    from ecg_fairseq.signal.recipe import Recipe

FORMAT = "ecg_fairseq.tokenizer"
VERSION = 1


@register_kind
@dataclass(frozen=True, eq=False)
class EcgTokenizer:
    """Byte-pair tokenizer of quantised ECG. Ids 0..255 are bytes, merge k has id 256 + k.

    It serves as :class:`EcgTokens` where it has a quantizer and, for ``decode`` and ``spans``, the
    recipe whose segments it was trained on.

    Attributes:
        merges: (M, 2) int64, read-only.
        mode: ``greedy`` (longest match, as ECG-Byte encodes) or ``bpe`` (order of training).
        quantiser: maps mV to symbols, or None for text-only tokenizers.
        recipe: ``{"name", "hash"}`` of the preprocessing it was trained on, or None.
        split_hash: hash of the patient split it was trained on, or None.
        training: figures of the training run.
    """

    kind: ClassVar[str] = DEFAULT_KIND

    merges: np.ndarray
    mode: str = "greedy"
    quantizer: Quantizer | None = None
    recipe: dict[str, Any] | None = None
    split_hash: str | None = None
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "merges", checked_merges(self.merges))
        if not isinstance(self.mode, str) or self.mode not in MODES:
            raise TokenizerError(f"tokenizer mode must be one of {MODES}, got {self.mode!r}")
        if self.quantizer is not None and not isinstance(self.quantizer, Quantizer):
            raise TokenizerError("tokenizer quantiser must be a Quantiser or None")
        if self.recipe is not None and (
            not isinstance(self.recipe, dict)
            or not all(isinstance(self.recipe.get(key), str) for key in ("name", "hash"))
        ):
            raise TokenizerError("tokenizer recipe must be {'name': str, 'hash': str} or null")
        if self.split_hash is not None and not isinstance(self.split_hash, str):
            raise TokenizerError("tokenizer split_hash must be a string or null")
        if not isinstance(self.training, dict):
            raise TokenizerError("tokenizer training must be an object")

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields alone; a worker process builds its own encoder."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # -- files ---------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: Path | str) -> "EcgTokenizer":
        """Read a ``tokenizer.json``.

        Raises:
            TokenizerError: missing, damaged, of another version, or inconsistent.
        """
        path = Path(path)
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            raise TokenizerError(
                f"{path} has {path.stat().st_size} bytes; a tokenizer file has at most "
                f"{MAX_FILE_BYTES}"
            )
        value = read_json(path, TokenizerError, "tokenizer")
        try:
            return cls.from_dict(value)
        except TokenizerError as error:
            raise TokenizerError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, value: Any) -> "EcgTokenizer":
        """Build from the parsed form of a tokenizer file; every field is checked."""
        kind = value.get("kind") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind != cls.kind:
            raise TokenizerError(
                f"these are ECG tokens of kind {kind}; only {cls.kind} reads and writes symbols"
            )
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise TokenizerError(
                f"not a tokenizer of this project: expected an object with "
                f'"format": "{FORMAT}" (reference pickles: ecg-fairseq tokenizer import)'
            )
        version = value.get("version")
        if isinstance(version, bool) or version != VERSION:
            raise TokenizerError(f"tokenizer version {version!r}, this program reads {VERSION}")
        if "merges" not in value or "mode" not in value:
            raise TokenizerError("a tokenizer needs the fields mode and merges")
        if not isinstance(value["merges"], list):
            raise TokenizerError("tokenizer merges must be a list of [left, right] ids")
        quantizer = value.get("quantiser")
        training = value.get("training")
        return cls(
            merges=checked_merges(value["merges"]),
            mode=value["mode"],
            quantizer=None if quantizer is None else Quantizer.from_dict(quantizer),
            recipe=value.get("recipe"),
            split_hash=value.get("split_hash"),
            training={} if training is None else training,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the tokenizer as plain JSON types, in the order of the file."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "mode": self.mode,
            "quantiser": None if self.quantizer is None else self.quantizer.to_dict(),
            "recipe": self.recipe,
            "split_hash": self.split_hash,
            "training": self.training,
            "merges": self.merges.tolist(),
        }

    def to_bytes(self) -> bytes:
        """Return the file's bytes: one field a line, merges in rows; same tokenizer, same bytes."""
        lines = []
        for name, value in self.to_dict().items():
            if name == "merges":
                rows = ",\n".join(json.dumps(pair, separators=(",", ":")) for pair in value)
                text = f"[\n{rows}\n]" if rows else "[]"
            else:
                text = json.dumps(value, sort_keys=True, ensure_ascii=False)
            lines.append(f'"{name}": {text}')
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8")

    def save(self, path: Path | str) -> None:
        """Write ``tokenizer.json`` atomically."""
        with atomic_write(path, "wb") as stream:
            stream.write(self.to_bytes())

    def state(self) -> str:
        """Return the tokenizer as JSON text, as checkpoints hold it."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_state(cls, state: Any) -> "EcgTokenizer":
        """Rebuild the tokenizer of :meth:`state`.

        Raises:
            TokenizerError: it is not the JSON text of a tokenizer.
        """
        try:
            value = json.loads(state)
        except (TypeError, ValueError) as error:
            raise TokenizerError(f"the stored tokenizer is not JSON text: {error}") from error
        return cls.from_dict(value)

    def sha256(self) -> str:
        """Return the SHA-256 of :meth:`to_bytes`: that of a file :meth:`save` wrote."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def with_mode(self, mode: str) -> "EcgTokenizer":
        """Return the same tokenizer with another encoding mode."""
        return self if mode == self.mode else replace(self, mode=mode)

    def first(self, num_merges: int) -> "EcgTokenizer":
        """Return the tokenizer of the first ``num_merges`` merges (every prefix is a tokenizer)."""
        if not 0 <= num_merges <= self.num_merges:
            raise TokenizerError(f"asked for {num_merges} merges, there are {self.num_merges}")
        return replace(self, merges=self.merges[:num_merges])

    # -- sizes ---------------------------------------------------------------------------------

    @property
    def num_merges(self) -> int:
        """Number of merges M."""
        return len(self.merges)

    @property
    def num_ids(self) -> int:
        """Number of ids, 256 + M."""
        return NUM_BASE_IDS + self.num_merges

    @cached_property
    def _lengths(self) -> np.ndarray:
        return expansion_lengths(self.merges)

    @cached_property
    def _encoder(self) -> AnyEncoder:
        return make_encoder(self.merges, self.mode)

    def expansion_lengths(self, ids: Any) -> np.ndarray:
        """Return int64 (S,): how many symbols each id stands for."""
        return self._lengths[checked_ids(ids, self.num_ids)]

    def expansions(self) -> list[bytes]:
        """Return the bytes of every id, index = id."""
        return expansions(self.merges)

    def emitted_ids(self) -> np.ndarray:
        """Return the sorted int64 ids that quantised input can give: letters and their merges."""
        num_letters = self.quantizer.num_symbols if self.quantizer else 26
        possible = np.zeros(self.num_ids, dtype=bool)
        possible[FIRST_LETTER : FIRST_LETTER + num_letters] = True
        for k, (left, right) in enumerate(self.merges.tolist()):
            possible[NUM_BASE_IDS + k] = possible[left] and possible[right]
        return np.flatnonzero(possible)

    # -- encoding ------------------------------------------------------------------------------

    def encode_bytes(self, data: bytes) -> np.ndarray:
        """Return the uint32 (S,) ids of one sequence of symbols; empty input gives no ids."""
        return self._encoder.encode(_checked_bytes(data))

    def encode_batch(self, sequences: Sequence[bytes], num_threads: int = 0) -> list[np.ndarray]:
        """Return the uint32 ids of each sequence; 0 threads means one per core."""
        return self._encoder.encode_batch([_checked_bytes(x) for x in sequences], num_threads)

    def encode_signals(self, values: Any, num_threads: int = 0) -> list[np.ndarray]:
        """Quantise and encode float values in mV, (N, P): one row of symbols per segment.

        Raises:
            TokenizerError: no quantiser, or not a two-dimensional float array.
        """
        quantizer = self._require_quantizer()
        array = np.asarray(values)
        if array.ndim != 2 or array.dtype.kind != "f":
            raise TokenizerError(
                f"expected float values of shape (segments, symbols), got {array.dtype} "
                f"{array.shape}; reshape one segment with segment.reshape(1, -1)"
            )
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float64)
        array = np.require(array, array.dtype.newbyteorder("="), ("C", "ALIGNED"))
        return self._encoder.encode_signals(array, quantizer, num_threads)

    def encode(self, segments: np.ndarray) -> list[np.ndarray]:
        """Return the int64 ids (S,) of each segment; see :meth:`EcgTokens.encode`.

        Args:
            segments: (B, L, T) float in mV; flattened in C order, lead after lead.
        """
        segments = np.asarray(segments)
        rows = segments.reshape(len(segments), int(np.prod(segments.shape[1:])))
        return [ids.astype(np.int64) for ids in self.encode_signals(rows)]

    # -- decoding ------------------------------------------------------------------------------

    def decode_bytes(self, ids: Any) -> bytes:
        """Return the symbols of ids; ``decode_bytes(encode_bytes(x)) == x`` for every x."""
        return self._encoder.decode(checked_ids(ids, self.num_ids))

    def decode_signal(self, ids: Any) -> np.ndarray:
        """Return float32 (P,) mV of ids.

        Raises:
            TokenizerError: no quantiser, an unknown id, or an id of bytes that are not symbols.
        """
        return self._require_quantizer().values(self.decode_bytes(ids))

    def decode(self, ids: Any) -> np.ndarray:
        """Return the segment in the recipe's shape, (L, T) float32 mV.

        Raises:
            TokenizerError: no quantizer or recipe, an unknown id, or ids of another length.
        """
        shape = self._require_recipe().shape
        values = self.decode_signal(ids)
        if values.size != np.prod(shape):
            raise TokenizerError(
                f"the ids stand for {values.size} values, a segment of this tokenizer's recipe has "
                f"shape {shape}; give the ids of one whole segment"
            )
        return values.reshape(shape)

    def symbol_spans(self, ids: Any) -> np.ndarray:
        """Return int64 (S, 2): first symbol and one past the last symbol of every token."""
        lengths = self.expansion_lengths(ids)
        ends = np.cumsum(lengths)
        return np.stack([ends - lengths, ends], axis=1)

    def spans(self, ids: Any) -> np.ndarray:
        """Return int64 (S, 3): strip of the recipe (its lead), first and end sample of every token.

        A token that goes on in the next lead ends beyond the last sample of its own.

        Raises:
            TokenizerError: no recipe, or more ids than one segment has.
        """
        strips = self._require_recipe().strips
        borders = np.cumsum([0, *(strip.num_samples for strip in strips)])
        spans = self.symbol_spans(ids)
        if len(spans) and spans[-1, 1] > borders[-1]:
            raise TokenizerError(
                f"the ids stand for {spans[-1, 1]} values, a segment of this tokenizer's recipe "
                f"has {borders[-1]}; give the ids of one segment"
            )
        leads = np.searchsorted(borders, spans[:, 0], side="right") - 1
        return np.column_stack([leads, spans - borders[leads][:, None]])

    def _require_quantizer(self) -> Quantizer:
        if self.quantizer is None:
            raise TokenizerError(
                "this tokenizer has no quantiser (trained on text); train it on a manifest, or "
                "import it with --low and --high"
            )
        return self.quantizer

    def _require_recipe(self) -> "Recipe":
        from ecg_fairseq.signal.recipes import recipe_from_description

        if self.recipe is None:
            raise TokenizerError(
                "this tokenizer names no recipe, so the shape of its segments is unknown; use "
                "decode_signal and symbol_spans, or train a tokenizer on a manifest"
            )
        return recipe_from_description(self.recipe, "the tokenizer")


def _checked_bytes(data: Any) -> bytes:
    """Return ``data`` as bytes; text is refused because its encoding is the caller's choice."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 1:
        return data.tobytes()
    raise TokenizerError(
        f"expected bytes or a flat uint8 array of symbols, got {type(data).__name__}; "
        'encode text with text.encode("utf-8")'
    )
