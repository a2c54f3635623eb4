"""Import of the reference's pickles without running any of their code.

ECG-Byte saves ``(vocab, merges)`` with pickle (fact sheet, section 2.4). A pickle is a program;
this module interprets only the instructions that build numbers, strings, lists, tuples and dicts,
and refuses every other one. The reference stores what each merge spells, not its pair: pairs are
recovered by applying all earlier merges to that spelling, which leaves exactly two ids.
"""

import pickletools
import struct
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.tokenizer.merges import (
    MAX_MERGES,
    MAX_TOKEN_SYMBOLS,
    MAX_TOTAL_SYMBOLS,
    NUM_BASE_IDS,
    checked_merges,
)
from ecg_fairseq.tokenizer.quantizer import Quantizer
from ecg_fairseq.tokenizer.tokenizer import MAX_FILE_BYTES, EcgTokenizer
from ecg_fairseq.tokenizer.twin import Pair, join_by_rank

_MARK = object()
_IGNORED = {"PROTO", "FRAME"}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINUNICODE", "BINUNICODE"}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLE_SIZES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def import_pickle(path: Path | str, quantizer: Quantizer | None = None) -> EcgTokenizer:
    """Return the tokenizer in a reference pickle, in ``greedy`` mode as the reference encodes.

    Args:
        path: the ``.pkl`` file.
        quantiser: the one it was trained with; the file does not say.

    Raises:
        TokenizerError: not such a file, damaged, or it asks for anything but plain data.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TokenizerError(f"{path} is too large for a tokenizer pickle")
        data = path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        pairs = recover_pairs(_spellings(read_plain_pickle(data)))
    except TokenizerError as error:
        raise TokenizerError(f"{path}: {error}") from error
    origin = {"imported_from": path.name, "num_merges_wanted": len(pairs)}
    return EcgTokenizer(
        merges=checked_merges(pairs), mode="greedy", quantizer=quantizer, training=origin
    )


def read_plain_pickle(data: bytes) -> Any:
    """Return the numbers, strings, lists, tuples and dicts that a binary pickle describes.

    Raises:
        TokenizerError: any other instruction (classes, calls, protocol 0), or damaged data.
    """
    machine = _PlainMachine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode.name, argument)
    except TokenizerError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise TokenizerError(f"the pickle is damaged: {error!r}") from error
    raise TokenizerError("the pickle ends too early")


class _PlainMachine:
    """Stack machine of pickle's data-only instructions."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        stack = self._stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            self._memo[len(self._memo) if argument is None else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name in _TUPLE_SIZES:
            size = _TUPLE_SIZES[name]
            items = [stack.pop() for _ in range(size)]
            stack.append(tuple(reversed(items)))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._since_mark()
            self._top(list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._since_mark()
            self._top(dict).update(zip(items[::2], items[1::2], strict=True))
        elif name not in _IGNORED:
            raise TokenizerError(
                f"the pickle contains the instruction {name}, which is not plain data; a tokenizer "
                "pickle needs none of that, so the file is refused"
            )

    def result(self) -> Any:
        """Return the one finished value."""
        if len(self._stack) != 1 or self._stack[0] is _MARK:
            raise TokenizerError("the pickle is damaged: it does not end with one value")
        return self._stack[0]

    def _since_mark(self) -> list[Any]:
        items = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _top(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise TokenizerError(f"the pickle is damaged: expected a {kind.__name__}")
        return self._stack[-1]


def _spellings(value: Any) -> list[bytes]:
    """Return the bytes of every merge of ``(vocab, merges)``, in order of ids, all checked."""
    if not (isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], dict)):
        raise TokenizerError("expected (vocab, merges) as ECG-Byte's train_tokenizer.py saves them")
    vocab, merges = value
    if not isinstance(merges, list) or len(merges) > MAX_MERGES:
        raise TokenizerError(f"expected a list of at most {MAX_MERGES} merges")
    if len(vocab) != NUM_BASE_IDS + len(merges):
        raise TokenizerError(
            f"{len(vocab)} vocabulary entries do not fit {len(merges)} merges and 256 bytes"
        )
    spellings = []
    total = 0
    for k, merge in enumerate(merges):
        wanted = NUM_BASE_IDS + k
        if not (isinstance(merge, tuple | list) and len(merge) == 2 and merge[1] == wanted):
            raise TokenizerError(f"merge {k} is not (bytes, {wanted})")
        letters = merge[0]
        if not isinstance(letters, list) or not 2 <= len(letters) <= MAX_TOKEN_SYMBOLS:
            raise TokenizerError(f"merge {k} does not spell 2 to {MAX_TOKEN_SYMBOLS} bytes")
        if not all(type(x) is int and 0 <= x < NUM_BASE_IDS for x in letters):
            raise TokenizerError(f"merge {k} spells values that are not bytes")
        total += len(letters)
        if total > MAX_TOTAL_SYMBOLS:
            raise TokenizerError(f"the merges spell more than {MAX_TOTAL_SYMBOLS} bytes")
        spelling = bytes(letters)
        # the reference writes a byte above 127 as "<128>", so only ASCII can be compared
        if spelling.isascii() and vocab.get(wanted) != spelling.decode("ascii"):
            raise TokenizerError(f"merge {k} and vocabulary entry {wanted} disagree")
        spellings.append(spelling)
    return spellings


def recover_pairs(spellings: list[bytes]) -> list[Pair]:
    """Return the pair behind each spelling by replaying all earlier merges on it.

    Raises:
        TokenizerError: a spelling that the earlier merges do not reduce to two ids.
    """
    rank: dict[Pair, int] = {}
    for k, spelling in enumerate(spellings):
        ids = join_by_rank(spelling, rank)
        if len(ids) != 2:
            raise TokenizerError(
                f"merge {k} is no merge of two earlier ids: they leave {len(ids)} pieces of it"
            )
        rank[ids[0], ids[1]] = k
    return list(rank)
