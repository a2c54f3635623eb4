"""Prompt layouts: what a sequence is made of, declared in ``layouts/NAME.yaml``.

A layout names the order of the vocabulary's rows and the pieces of a sequence: the start token
(``bos``), fixed text, text with the placeholders ``{question}`` and ``{header}``, special rows, one
or more ECGs (rows of ECG tokens, or rows where feature vectors stand), ``answer`` and ``eos``.
Layouts are data: they are read as plain YAML, and a placeholder is replaced by text, never run.
"""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import EcgError, first_line
from ecg_fairseq.networks.language_model.vocabulary import ECG, TEXT, RowOrder

LAYOUT_FOLDER = Path(__file__).parent / "layouts"
DEFAULT_LAYOUT = "ecg_byte"
MAX_FILE_BYTES = 1 << 20
SLOTS = ("tokens", "features")

_FIELDS = ("question", "header")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_WORDS = ("bos", "eos", "answer", *_FIELDS)


@dataclass(frozen=True)
class Piece:
    """One piece of a sequence.

    Attributes:
        kind: ``bos``, ``eos``, ``answer``, ``text``, ``row`` or ``ecg``.
        text: of a text piece, with its placeholders.
        special_tokens: fixed text in which the text tokenizer's special tokens count as such.
        row: name of a special row.
        ecg: ``tokens`` or ``features``.
        start: special row before each ECG, or empty.
        end: special row behind each ECG, or empty.
        repeat: whether all recordings that are left stand here; otherwise exactly one.
    """

    kind: str
    text: str = ""
    special_tokens: bool = False
    row: str = ""
    ecg: str = ""
    start: str = ""
    end: str = ""
    repeat: bool = False

    def asks(self, name: str) -> bool:
        """Tell whether the text has the placeholder ``name``."""
        return name in _PLACEHOLDER.findall(self.text)

    def filled(self, **values: str) -> str:
        """Return the text with its placeholders replaced, each once: values are never searched."""
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], self.text)

    def to_dict(self) -> Any:
        """Return the piece as it stands in a layout file."""
        if self.kind in ("bos", "eos", "answer"):
            return self.kind
        if self.kind == "row":
            return {"row": self.row}
        names = ("text", "special_tokens") if self.kind == "text" else _ECG_KEYS
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value or name == self.kind}


_ECG_KEYS = ("ecg", "start", "end", "repeat")
_KEYS = {"text": ("text", "special_tokens"), "row": ("row",), "ecg": _ECG_KEYS}


@dataclass(frozen=True)
class PromptLayout:
    """A named layout.

    Attributes:
        name: of the layout.
        rows: order and names of the vocabulary's rows.
        pieces: of a sequence, in order; the answer is the last one, or the last but ``eos``.
    """

    name: str
    rows: RowOrder
    pieces: tuple[Piece, ...]

    @property
    def num_shared(self) -> int:
        """Pieces that several questions about the same ECGs share: those before the first of a
        question's own.

        Where only the answer is the question's own, the last piece before it goes with each
        question, since the token before an answer must stand in the answer's own segment.
        """
        for place, piece in enumerate(self.pieces):
            if piece.asks("question"):
                return place
        return max(self.num_context - 1, 0)

    @property
    def num_context(self) -> int:
        """Pieces before the answer."""
        return [piece.kind for piece in self.pieces].index("answer")

    @property
    def ends_with_eos(self) -> bool:
        """Whether an answer has an end token."""
        return self.pieces[-1].kind == "eos"

    @property
    def num_recordings(self) -> int | None:
        """Recordings in a sequence; None for any number of at least one per ECG piece."""
        ecgs = [piece for piece in self.pieces if piece.kind == "ecg"]
        return None if ecgs[-1].repeat else len(ecgs)

    def asks(self, name: str) -> bool:
        """Tell whether a piece has the placeholder ``name`` (``question`` or ``header``)."""
        return any(piece.asks(name) for piece in self.pieces)

    def to_dict(self) -> dict[str, Any]:
        """Return the layout in plain types, in the form of its file."""
        rows = {field.name: getattr(self.rows, field.name) for field in fields(RowOrder)}
        rows["order"] = list(self.rows.order)
        return {
            "name": self.name,
            "vocabulary": {name: value for name, value in rows.items() if value is not None},
            "pieces": [piece.to_dict() for piece in self.pieces],
        }


def load_layout(name: str) -> PromptLayout:
    """Load a shipped layout by its name, or one's own by the path of its ``.yaml`` file.

    Raises:
        EcgError: it does not exist, is no YAML, or contradicts itself.
    """
    import yaml

    own = name.endswith((".yaml", ".yml"))
    path = Path(name) if own else LAYOUT_FOLDER / f"{name}.yaml"
    if not path.is_file() or not (own or name in layout_names()):
        raise EcgError(
            f"prompt layout {name!r} not found; choose one of {', '.join(layout_names())}, or give "
            "the path of a .yaml file"
        )
    if path.stat().st_size > MAX_FILE_BYTES:
        raise EcgError(f"prompt layout {path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as cause:
        raise EcgError(
            f"prompt layout {path} cannot be read: {first_line(cause)}; it must be plain YAML"
        ) from cause
    return layout_from_dict(value, str(path))


def layout_names() -> list[str]:
    """Return the names of the shipped layouts."""
    return sorted(path.stem for path in LAYOUT_FOLDER.glob("*.yaml"))


def layout_from_dict(value: Any, where: str = "the prompt layout") -> PromptLayout:
    """Build a layout from the parsed form of its file; every field is checked.

    Raises:
        EcgError: names the field, what was given and what is expected.
    """
    try:
        return _layout(value)
    except EcgError as error:
        raise EcgError(f"{where}: {error}") from error


def _layout(value: Any) -> PromptLayout:
    given = _mapping(value, ("name", "vocabulary", "pieces"), "a layout")
    for name in ("name", "vocabulary", "pieces"):
        _require(name in given, f"the field {name} is missing")
    _require(
        isinstance(given["name"], str) and re.fullmatch(r"[\w.-]+", given["name"]) is not None,
        f"name must be a word, got {given['name']!r}",
    )
    pieces = given["pieces"]
    _require(isinstance(pieces, list) and bool(pieces), f"pieces must be a list, got {pieces!r}")
    layout = PromptLayout(
        given["name"], _row_order(given["vocabulary"]), tuple(_piece(piece) for piece in pieces)
    )
    _check_pieces(layout)
    _check_names(layout)
    return layout


def _row_order(value: Any) -> RowOrder:
    """Read the section ``vocabulary``."""
    given = _mapping(value, tuple(field.name for field in fields(RowOrder)), "vocabulary")
    order: Any = given.get("order")
    _require(
        isinstance(order, list) and all(isinstance(name, str) and name for name in order),
        f"vocabulary.order must be a list of names, got {order!r}",
    )
    rest = {name: text for name, text in given.items() if name != "order"}
    for name, text in rest.items():
        _require(
            isinstance(text, str) and bool(text), f"vocabulary.{name} must be a name, got {text!r}"
        )
    rows = RowOrder(order=tuple(order), **rest)
    _require(len(set(order)) == len(order), f"vocabulary.order names a row twice: {order}")
    _require(TEXT not in order[1:], "vocabulary.order: text rows keep their ids, so text is first")
    if ECG in order:
        _require("{id}" in rows.ecg_name, "vocabulary.ecg_name must contain {id}")
    for name in ("pad", "feature"):
        row = getattr(rows, name)
        _require(
            row is None or row in rows.special_names,
            f"vocabulary.{name} {row!r} is not one of the special rows in vocabulary.order",
        )
    return rows


def _piece(value: Any) -> Piece:
    """Read one entry of ``pieces``."""
    if isinstance(value, str):
        _require(value in _WORDS, f"piece {value!r} is not one of {', '.join(_WORDS)}")
        return Piece("text", text=f"{{{value}}}") if value in _FIELDS else Piece(value)
    kind = next((name for name in _KEYS if isinstance(value, dict) and name in value), None)
    _require(
        kind is not None,
        f"piece {value!r} must be one of {', '.join(_WORDS)}, or have a key text, row or ecg",
    )
    given = _mapping(value, _KEYS[str(kind)], f"a piece with {kind}")
    for name, item in given.items():
        wanted = bool if name in ("special_tokens", "repeat") else str
        _require(
            isinstance(item, wanted) and (wanted is bool or bool(item)),
            f"piece {value!r}: {name} must be {'true or false' if wanted is bool else 'text'}",
        )
    piece = Piece(str(kind), **given)
    unknown = set(_PLACEHOLDER.findall(piece.text)) - set(_FIELDS)
    _require(
        not unknown,
        f"piece {value!r}: unknown placeholder {', '.join(sorted(unknown))}; "
        "there are {question} and {header}",
    )
    _require(
        not (piece.special_tokens and _PLACEHOLDER.search(piece.text)),
        f"piece {value!r}: special_tokens is for fixed text, a placeholder could write one",
    )
    _require(
        piece.kind != "ecg" or piece.ecg in SLOTS,
        f"piece {value!r}: ecg must be one of {', '.join(SLOTS)}",
    )
    return piece


def _check_pieces(layout: PromptLayout) -> None:
    """Check order and number of the pieces."""
    kinds = [piece.kind for piece in layout.pieces]
    _require(kinds.count("answer") == 1, "pieces must hold answer exactly once")
    _require(
        kinds[kinds.index("answer") + 1 :] in ([], ["eos"]) and kinds.count("eos") <= 1,
        "answer must be the last piece, or the last before eos",
    )
    _require(kinds.index("answer") > 0, "something must stand before the answer")
    _require("ecg" in kinds, "pieces must hold at least one ecg before the answer")
    asking = sum(piece.asks("question") for piece in layout.pieces)
    _require(asking <= 1, "only one piece may hold {question}")
    ecgs = [piece for piece in layout.pieces if piece.kind == "ecg"]
    _require(not any(piece.repeat for piece in ecgs[:-1]), "only the last ecg piece may repeat")


def _check_names(layout: PromptLayout) -> None:
    """Check that the vocabulary has every row that the pieces name."""
    rows = layout.rows
    for piece in layout.pieces:
        for name in (piece.row, piece.start, piece.end):
            _require(
                not name or name in rows.special_names,
                f"row {name!r} is not one of the special rows in vocabulary.order",
            )
        if piece.kind == "text":
            _require(TEXT in rows.order, "text pieces need text in vocabulary.order")
        if piece.ecg == "tokens":
            _require(ECG in rows.order, "ecg: tokens needs ecg in vocabulary.order")
        if piece.ecg == "features":
            _require(rows.feature is not None, "ecg: features needs vocabulary.feature")
    if TEXT not in rows.order:
        for name in ("bos", "eos"):
            used = any(piece.kind == name for piece in layout.pieces)
            row = getattr(rows, name)
            _require(
                row in rows.special_names or not used,
                f"without text rows vocabulary.{name} must be one of the special rows",
            )


def _mapping(value: Any, allowed: tuple[str, ...], what: str) -> dict[str, Any]:
    """Return ``value`` if it is a mapping of allowed keys."""
    _require(isinstance(value, dict), f"{what} must be a mapping, got {type(value).__name__}")
    unknown = [str(key) for key in value if key not in allowed]
    _require(not unknown, f"{what} has no field {', '.join(unknown)}; it has {', '.join(allowed)}")
    return dict(value)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise EcgError(message)
