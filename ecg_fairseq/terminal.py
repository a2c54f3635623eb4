"""What every command does around its work: errors as one sentence, output that no file controls.

Ids, labels, questions and file names come from files of others. A control character in one of them
could move the cursor, recolor or retitle the terminal, or hide a line. Between a command and the
terminal therefore stands one filter, for results, progress, warnings and errors alike.
"""

import contextlib
import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ecg_fairseq.errors import EcgError, Interrupted, first_line

INTERRUPTED = 130  # what shells give for a program that Ctrl-C ended: 128 + SIGINT
# Control characters but tab and line feed; line and paragraph separators; lone surrogates, which
# stand for bytes that are no UTF-8; and what turns the direction of writing.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_FILES = (errno.EMFILE, errno.ENFILE)
_NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)


def printable(text: str) -> str:
    r"""Return a text whose control characters are written out.

    >>> printable("record \x1b[2Jone\r\u202e")
    'record \\x1b[2Jone\\r\\u202e'
    """
    return _UNPRINTABLE.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


class PrintableStream:
    """A text stream that writes control characters out; all else is the stream's below.

    Args:
        below: the stream that is written to.
        has_bars: let a carriage return through with which a text begins a line or draws a progress
            bar anew: there it can hide nothing but the bar.
    """

    def __init__(self, below: Any, has_bars: bool = False) -> None:
        self._below = below
        self._has_bars = has_bars
        self._may_return = True

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        if not text:
            return 0
        is_bar = self._has_bars and self._may_return and text[0] == "\r"
        shown = "\r" * is_bar + printable(text[is_bar:])
        self._may_return = is_bar or text[-1] == "\n"
        encoding = getattr(self._below, "encoding", None)
        if encoding and not shown.isascii():
            shown = shown.encode(encoding, "backslashreplace").decode(encoding)
        self._below.write(shown)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Return what the stream below has: ``buffer``, ``isatty``, ``flush`` ..."""
        return getattr(self._below, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Filter what is written to stdout and stderr meanwhile, see :class:`PrintableStream`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (
        stream if isinstance(stream, PrintableStream) else PrintableStream(stream, has_bars)
        for stream, has_bars in zip(before, (False, True), strict=True)
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def run_explained(program: str, action: Callable[[], int], is_debug: bool = False) -> int:
    """Run a command; whatever ends it early is one line on stderr.

    Args:
        program: what the line begins with.
        action: the command; returns its exit status.
        is_debug: show tracebacks, too.

    Returns:
        What the command returned; 1 after an error that is explained; 130 after Ctrl-C.
    """
    with printable_output():
        try:
            return action()
        except BrokenPipeError:
            sys.stderr.close()
            return 0
        except KeyboardInterrupt:
            _end_line(program, "interrupted; run the same command again", is_debug)
            return INTERRUPTED
        except EcgError as error:
            # A reader may have called a file damaged that could not be opened for want of numbers.
            sentence = system_sentence(error) if is_out_of_files(error) else None
            _end_line(program, sentence or str(error), is_debug)
            return INTERRUPTED if isinstance(error, Interrupted) else 1
        except Exception as error:
            sentence = system_sentence(error)
            if sentence is None:
                raise
            _end_line(program, sentence, is_debug)
            return 1


def _end_line(program: str, sentence: str, is_debug: bool) -> None:
    if is_debug:
        traceback.print_exc()
    print(f"{program}: {sentence}", file=sys.stderr)


def system_sentence(error: BaseException) -> str | None:
    """Return what the system refused and what to do about it; None for errors of another kind.

    An error counts that ``error`` was raised from, too.
    """
    if is_out_of_files(error):
        return f"{os.strerror(errno.EMFILE)}; raise their number: ulimit -n 4096"
    for cause in causes(error):
        if isinstance(cause, MemoryError):
            return (
                "out of memory; close other programs, or give fewer workers, threads or a smaller "
                "batch"
            )
        if isinstance(cause, OSError) and cause.errno is not None:
            return _sentence_of_system_error(cause)
    return None


def _sentence_of_system_error(error: OSError) -> str:
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
    where = f"{' -> '.join(names)}: " if names and not isinstance(error.filename, int) else ""
    what = f"{where}{error.strerror or first_line(error)}"
    if error.errno in _NO_SPACE:
        return f"{what}; free some space or choose another folder, then run the same command again"
    if error.errno in _NO_ACCESS:
        return f"{what}; check the permissions, or choose another folder"
    return f"{what}; check the path and the disk, then run the same command again"


def causes(error: BaseException, are_implied: bool = False) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, and so on.

    Args:
        are_implied: yield those, too, that were being handled when the next one arose.
    """
    current: BaseException | None = error
    seen: set[int] = set()  # causes and contexts together may run in a circle
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (current.__context__ if are_implied else None)


def is_out_of_files(error: BaseException) -> bool:
    """Say whether an error comes of too many open files; libraries may tell it in words only."""
    words = [os.strerror(number) for number in _NO_FILES]
    return any(
        (isinstance(cause, OSError) and cause.errno in _NO_FILES)
        or any(text in str(cause) for text in words)
        for cause in causes(error, are_implied=True)
    )
