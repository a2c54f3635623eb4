"""Lines of tab-separated files, parsed with numpy: a million of them within a second.

Nothing is made per line: a manifest stays one array of bytes, and its fields are places in it.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import ManifestError

BLOCK_BYTES = 8 << 20
TAB = 9
_NEWLINE, _RETURN, _MINUS, _ZERO = 10, 13, 45, 48
_MOST_DIGITS = 18
_SHOWN_BYTES = 120
_BLOCK_LINES = 1 << 14


@dataclass(frozen=True, eq=False)
class Fields:
    """The fields of the lines of a file.

    Attributes:
        path: the file, for messages.
        content: its bytes, uint8.
        starts: int (N, F), first byte of every field.
        ends: int (N, F), the byte behind it.
        numbers: int (N,), of these lines in the file, from 1.
    """

    path: Path
    content: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def chosen(self, is_chosen: np.ndarray) -> "Fields":
        """Return some of the lines; bool (N,)."""
        return replace(
            self,
            starts=self.starts[is_chosen],
            ends=self.ends[is_chosen],
            numbers=self.numbers[is_chosen],
        )

    def text(self, line: int, field: int) -> str:
        """Return one field; ManifestError when it is not UTF-8."""
        return _decoded(self, self.starts[line, field], self.ends[line, field], line)

    def integers(self, field: int, what: str) -> np.ndarray:
        """Return a column of whole numbers, int64 (N,); ManifestError names the first bad line."""
        starts, ends = self.starts[:, field], self.ends[:, field]
        values, is_number = parse_integers(self.content, starts, ends)
        self.refuse(~is_number, f"{what} is not a whole number")
        return values

    def refuse(self, is_bad: np.ndarray, reason: str) -> None:
        """Raise for the first line where ``is_bad``, bool (N,); the line is shown."""
        for line in np.flatnonzero(is_bad)[:1]:
            raise self.error(int(line), reason)

    def error(self, line: int, reason: str) -> ManifestError:
        """Return the error of one line, with file, number and text."""
        start, end = int(self.starts[line, 0]), int(self.ends[line, -1])
        shown = self.content[start : min(end, start + _SHOWN_BYTES)].tobytes()
        return ManifestError(
            f"{self.path} line {self.numbers[line]}: {reason}: "
            f"{shown.decode('utf-8', 'replace')!r}; make the manifest anew"
        )


def _decoded(fields: Fields, start: int, end: int, line: int) -> str:
    try:
        return fields.content[start:end].tobytes().decode("utf-8")
    except UnicodeDecodeError:
        raise fields.error(line, "it is not UTF-8 text") from None


def read_bytes(path: Path) -> np.ndarray:
    """Return the bytes of a file, uint8; ManifestError when it is missing or empty."""
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise ManifestError(
            f"manifest {path} cannot be read: {error.strerror or error}; check the folder that "
            "was given"
        ) from error
    if not len(content):
        raise ManifestError(f"manifest {path} is empty; make it anew")
    return content


def line_bounds(content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return start and end of every line, int (N,); line ends of Unix and of Windows."""
    ends = places_of(content, _NEWLINE)
    if len(content) and content[-1] != _NEWLINE:
        ends = np.append(ends, ends.dtype.type(len(content)))
    starts = np.zeros_like(ends)
    starts[1:] = ends[:-1] + 1
    has_return = (ends > starts) & (content[np.maximum(ends - 1, 0)] == _RETURN)
    return starts, ends - has_return


def places_of(content: np.ndarray, byte: int) -> np.ndarray:
    """Return where a byte occurs, int32 (int64 beyond 2 GB); in blocks, to need little memory."""
    kind = np.int32 if len(content) < 1 << 31 else np.int64
    blocks = range(0, len(content), BLOCK_BYTES)
    found = [
        (np.flatnonzero(content[at : at + BLOCK_BYTES] == byte) + at).astype(kind) for at in blocks
    ]
    return np.concatenate(found) if found else np.empty(0, dtype=kind)


def split_fields(
    path: Path,
    content: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    num_fields: int,
    first_line: int,
) -> Fields:
    """Cut lines at their tabs.

    Args:
        path: for messages.
        content: uint8.
        bounds: start and end of each line, int (N,); see :func:`line_bounds`.
        num_fields: F, what every line must have.
        first_line: number of the first line in the file.

    Raises:
        ManifestError: a line has another number of fields.
    """
    starts, ends = bounds
    tabs = places_of(content, TAB)
    low = np.searchsorted(tabs, starts).astype(tabs.dtype)
    count = np.searchsorted(tabs, ends).astype(tabs.dtype) - low
    numbers = np.arange(first_line, first_line + len(starts), dtype=tabs.dtype)
    whole = Fields(path, content, starts[:, None], ends[:, None], numbers)
    for line in np.flatnonzero(count != num_fields - 1)[:1]:
        reason = f"{int(count[line]) + 1} tab-separated fields, expected {num_fields}"
        raise whole.error(int(line), reason)
    # Field after field in memory: columns are what is asked for.
    begins = np.empty((len(starts), num_fields), dtype=tabs.dtype, order="F")
    closes = np.empty_like(begins, order="F")
    begins[:, 0], closes[:, -1] = starts, ends
    for field in range(num_fields - 1):
        closes[:, field] = tabs[low + field]
        begins[:, field + 1] = closes[:, field] + 1
    return Fields(path, content, begins, closes, numbers)


def parse_integers(
    content: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the whole numbers that stand in places of ``content``, and which are ones.

    Args:
        content: uint8.
        starts, ends: int (N,).

    Returns:
        int64 (N,), 0 where there is none, and bool (N,). At most 18 digits, a minus sign allowed.
    """
    values = np.zeros(len(starts), dtype=np.int64)
    if not len(starts):
        return values, np.ones(0, dtype=bool)
    last = len(content) - 1
    is_negative = (ends > starts) & (content[np.minimum(starts, last)] == _MINUS)
    first = starts + is_negative
    widths = ends - first
    is_number = (widths > 0) & (widths <= _MOST_DIGITS)
    for digit in range(min(int(widths.max()), _MOST_DIGITS)):
        places = first + digit
        is_inside = places < ends
        # Anything but a digit wraps round to a number above 9.
        found = content[np.minimum(places, last)] - np.uint8(_ZERO)
        is_number &= ~is_inside | (found <= 9)
        values = np.where(is_inside, values * 10 + found, values)
    values[~is_number] = 0
    return np.where(is_negative, -values, values), is_number


def distinct_runs(
    content: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> Iterator[tuple[int, int, bytes]]:
    """Yield (first line, line behind the last, text) of runs of lines with equal text.

    Args:
        content: uint8.
        starts, ends: int (N,), the text of each line.
    """
    begun, text = 0, None
    for at, letters in letters_of(content, starts, ends):
        changes = np.flatnonzero((letters[1:] != letters[:-1]).any(axis=1)) + at + 1
        for line in (at, *changes.tolist()):
            now = content[starts[line] : ends[line]].tobytes()
            if now != text:
                if text is not None:
                    yield begun, line, text
                begun, text = line, now
    if text is not None:
        yield begun, len(starts), text


def text_keys(content: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return a number for the text of each line, int64 (N,): equal for equal texts.

    Different texts have different numbers but for a chance of about N x N / 2^60.
    """
    keys = np.empty(len(starts), dtype=np.uint64)
    factors = _factors(int((ends - starts).max(initial=0)))
    for at, letters in letters_of(content, starts, ends):
        terms = letters * factors[: letters.shape[1]]
        keys[at : at + len(letters)] = terms.sum(axis=1, dtype=np.uint64)
    return keys.view(np.int64)


@functools.lru_cache(8)
def _factors(width: int) -> np.ndarray:
    """Return ``width`` fixed random numbers, uint64; more of them begin with the same ones."""
    return np.random.default_rng(0).integers(1 << 62, size=width, dtype=np.uint64)


def letters_of(
    content: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first line, uint8 (lines, longest)) of some lines at a time; zeros behind each end."""
    longest = int((ends - starts).max(initial=1))
    step = max(1, min(_BLOCK_LINES, BLOCK_BYTES // max(1, longest)))
    for at in range(0, len(starts), step):
        first, last = starts[at : at + step], ends[at : at + step]
        places = first[:, None] + np.arange(int((last - first).max(initial=1)))
        letters = (
            content[np.minimum(places, max(0, len(content) - 1))]
            if len(content)
            else (np.zeros(places.shape, dtype=np.uint8))
        )
        letters[places >= last[:, None]] = 0
        yield at, letters


def blocks_of_lines(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (bytes of whole lines, number of the first of them) of a file, some MB at a time.

    Raises:
        ManifestError: the file cannot be read.
    """
    rest, number = b"", 1
    try:
        with open(path, "rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                block = rest + block
                cut = block.rfind(b"\n") + 1
                rest = block[cut:]
                if cut:
                    content = np.frombuffer(block, dtype=np.uint8, count=cut)
                    yield content, number
                    # Many times faster than bytes.count.
                    number += int(np.count_nonzero(content == _NEWLINE))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error}; make the manifest anew") from error
    if rest:
        yield np.frombuffer(rest, dtype=np.uint8), number
