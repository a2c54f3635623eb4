"""What the rest of the package asks of ECG tokens, whatever makes them.

``EcgTokens`` is the face that language models, token caches, tasks and ``predict`` see; ECG-BPE is
one kind of it. A kind is registered by its class (``tokenizer/__init__`` imports the shipped ones),
which offers two class methods, ``load(path)`` and ``from_state(state)``, beside the protocol. Token
files are JSON and name their ``kind``.
"""

from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast, runtime_checkable

import numpy as np

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.files import read_json

DEFAULT_KIND = "ecg_bpe"
# A list of merges is the largest thing a token file holds; weights lie in files beside it.
MAX_FILE_BYTES = 1 << 28

_KINDS: dict[str, Any] = {}
_Class = TypeVar("_Class", bound=type)


@runtime_checkable
class EcgTokens(Protocol):
    """Segments of ECG to token ids and back.

    Attributes:
        kind: the name it is registered under.
        recipe: ``{"name", "hash"}`` of the preprocessing it was made for, or None.
        split_hash: hash of the patient split it was trained on, or None.

    Kinds that are trained by fairseq also have ``source``, a dict: what checkpoints keep of their
    training data.
    """

    kind: ClassVar[str]
    recipe: dict[str, Any] | None
    split_hash: str | None

    @property
    def num_ids(self) -> int:
        """Number of ids; every id is below it."""

    def sha256(self) -> str:
        """Return a hash of everything that the ids depend on."""

    def emitted_ids(self) -> np.ndarray:
        """Return the sorted int64 ids that :meth:`encode` can give."""

    def encode(self, segments: np.ndarray) -> list[np.ndarray]:
        """Return the int64 ids (S,) of each segment.

        Args:
            segments: (B, L, T) float32, as the recipe gives them.
        """

    def decode(self, ids: Any) -> np.ndarray:
        """Return the segment (L, T) float32 that ids (S,) stand for."""

    def spans(self, ids: Any) -> np.ndarray:
        """Return int64 (S, 3): lead, first sample and one past the last sample of every token.

        Lead -1 means all leads. Where leads are written one after another, a token may go on in
        the next lead: its end then lies beyond the last sample of the lead that it starts in.
        """

    def state(self) -> Any:
        """Return what a checkpoint holds to build it anew: plain types and tensors."""

    def save(self, path: Path | str) -> None:
        """Write a file that :func:`open_tokens` reads."""


def register_kind(tokens: _Class) -> _Class:
    """Make a class of ECG tokens known under its ``kind``; to be used as a decorator."""
    _KINDS[tokens.kind] = tokens  # type: ignore[attr-defined]  # classes of the protocol have one
    return tokens


def open_tokens(path: Path | str) -> EcgTokens:
    """Open a token file of any kind; without ``kind`` it is an ECG-BPE ``tokenizer.json``.

    Raises:
        TokenizerError: missing, damaged, too large, or of an unknown kind.
    """
    path = Path(path)
    if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
        raise TokenizerError(
            f"{path} has {path.stat().st_size} bytes; a tokenizer file has at most {MAX_FILE_BYTES}"
        )
    value = read_json(path, TokenizerError, "tokenizer")
    kind = value.get("kind", DEFAULT_KIND) if isinstance(value, dict) else DEFAULT_KIND
    return cast(EcgTokens, _class_of(kind, str(path)).load(path))


def tokens_from_state(kind: str, state: Any) -> EcgTokens:
    """Rebuild the ECG tokens of a checkpoint from its kind and :meth:`EcgTokens.state`.

    Raises:
        TokenizerError: an unknown kind, or a damaged state.
    """
    return cast(EcgTokens, _class_of(kind, "the checkpoint").from_state(state))


def _class_of(kind: Any, where: str) -> Any:
    """Return the class of a kind."""
    if not isinstance(kind, str) or kind not in _KINDS:
        raise TokenizerError(
            f"{where} holds ECG tokens of kind {kind!r}; this program knows "
            f"{', '.join(sorted(_KINDS))}: use the program version that wrote it"
        )
    return _KINDS[kind]
