"""XML of ECG devices, read without trust: bounded depth, no entities, nothing outside the file.

The parser is expat. A file that declares entities is refused, an encoding is taken as declared or,
where that cannot be, guessed with a note, and a ``&`` that some devices leave bare in texts is read
as itself (fact sheet ecg-fm 1.4). What is kept of a file is decided by a handler of its kind:
muse_xml, cardiosoft_xml.
"""

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar
from xml.parsers import expat

import numpy as np

from ecg_fairseq.errors import RecordError
from ecg_fairseq.records.readers.array_checks import check_shape, read_bounded, to_float32
from ecg_fairseq.records.record import EcgRecord, Origin
from ecg_fairseq.signal.leads import CANONICAL_LEADS, NamedLeads, named_leads

MAX_DEPTH = 32
_ENCODING = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,20})["']""")
_DECLARATION = re.compile(r"^\s*<\?xml.*?\?>", re.DOTALL)
_BARE_AMPERSAND = re.compile(r"&(?!#?\w{1,10};)", re.ASCII)
# Python knows more codecs, some of no text at all; exports use these.
_ENCODINGS = re.compile(
    r"utf-?8|utf-?16(-?[lb]e)?|us-ascii|ascii|iso-?8859-\d{1,2}|latin-?\d|(windows-|cp)\d{3,4}"
    r"|koi8-[ru]|shift[_-]jis|euc-(jp|kr)|iso-2022-jp|gb2312|gbk|gb18030|big5"
)
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_COMMENT = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
_ROOT_NAME = re.compile(r"<([A-Za-z_][\w.-]{0,80})")
Parsed = TypeVar("Parsed")


class XmlHandler(Protocol):
    """What is told of a file, element by element, in its order."""

    def start(self, path: Sequence[str], attributes: Mapping[str, str]) -> None:
        """Learn that an element begins; ``path`` ends with its own name."""

    def end(self, path: Sequence[str], value: str) -> None:
        """Learn that an element without inner elements ends, and its text."""


class _Walk:
    """Turns expat's events into an :class:`XmlHandler`'s; keeps the text of one element only."""

    def __init__(self, handler: XmlHandler) -> None:
        self.root = ""
        self._handler = handler
        self._open: list[str] = []
        self._text: list[str] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise RecordError(f"elements are nested more than {MAX_DEPTH} deep")
        self.root = self.root or name
        self._open.append(name)
        self._text = []
        self._handler.start(self._open, attributes)

    def text(self, part: str) -> None:
        if self._text is not None:
            self._text.append(part)

    def end(self, name: str) -> None:
        value, self._text = "".join(self._text or ()), None
        self._handler.end(self._open, value)
        self._open.pop()


def root_name(start: bytes) -> str:
    """Return the name of the first element in the first bytes of a file; empty when none begins."""
    try:
        text, _ = decode_xml(start)
    except UnicodeError:
        text = start.replace(b"\0", b"").decode("latin-1")
    found = _ROOT_NAME.search(_COMMENT.sub("", text))
    return found[1] if found else ""


def decode_xml(content: bytes) -> tuple[str, str]:
    """Return (text, note) of a file in the encoding it declares; UnicodeError when a mark lies.

    A file that is not in the encoding it declares is read as UTF-8 or else as Latin-1, and the note
    says so; otherwise the note is empty. Numbers are the same in either.
    """
    for mark, name in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return content.decode(name), ""
    declared = _ENCODING.match(content.lstrip()[:256])
    name = declared[1].decode("ascii").lower() if declared else "utf-8"
    if _ENCODINGS.fullmatch(name):
        with contextlib.suppress(UnicodeError, LookupError):
            return content.decode(name), ""
    for guess in ("utf-8", "iso-8859-1"):
        with contextlib.suppress(UnicodeError):
            return content.decode(guess), f"text is not in {name}, read as {guess}"
    raise UnicodeError(f"not in {name}")


def parse_xml(content: bytes, handler: XmlHandler) -> tuple[str, tuple[str, ...]]:
    """Tell a handler what a file holds; return the root's name, and notes on the encoding.

    Raises:
        RecordError: it declares entities, or is nested too deep.
        ExpatError, UnicodeError: it is not well-formed.
    """
    walk = _Walk(handler)
    parser = expat.ParserCreate("utf-8")
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.EntityDeclHandler = _refuse_entities
    parser.ExternalEntityRefHandler = _refuse_entities
    parser.StartElementHandler = walk.start
    parser.EndElementHandler = walk.end
    parser.CharacterDataHandler = walk.text
    parser.buffer_text = True
    decoded, note = decode_xml(content)
    text = _DECLARATION.sub("", decoded, count=1)
    parser.Parse(_BARE_AMPERSAND.sub("&amp;", text).lstrip().encode("utf-8"), True)
    return walk.root, (note,) if note else ()


def _refuse_entities(*_: object) -> NoReturn:
    raise RecordError("it declares entities, which no ECG device's export does; it is not opened")


def read_xml(path: Path, most_bytes: int, what: str, read: Callable[[bytes], Parsed]) -> Parsed:
    """Return what ``read`` makes of a file's bytes; every failure becomes a RecordError.

    Args:
        most_bytes: a larger file is refused before it is read.
        what: what the file is, for the message.
    """
    content = read_bounded(path, most_bytes, what)
    try:
        return read(content)
    except (expat.ExpatError, UnicodeError, ValueError) as error:
        raise RecordError(f"{path} is not well-formed XML: {error}; export it again") from error
    except RecordError as error:
        text = str(error)
        raise error if str(path) in text else RecordError(f"{path}: {text}") from error


def device_record(
    rows: Sequence[np.ndarray], names: Sequence[str], fs_hz: float, origin: Origin
) -> EcgRecord:
    """Return a device's recording, in canonical order, with the limb leads that I and II imply.

    Args:
        rows: float64 (T,) in mV, of one length.
        names: leads of the rows, as the file spells them.
        origin: its source is the file's path.
    """
    check_shape(len(rows), len(next(iter(rows), ())), Path(origin.source))
    named = named_leads(np.stack(rows), names)
    limb = limb_leads(named.signal, named.leads)
    order = sorted(range(len(limb.leads)), key=lambda row: _rank(limb.leads[row]))
    derived = tuple(dict.fromkeys((*named.derived, *limb.derived)))
    done = NamedLeads(limb.signal, limb.leads, named.inverted, derived)
    return EcgRecord(
        to_float32(limb.signal[order]),
        tuple(limb.leads[row] for row in order),
        fs_hz,
        origin.record_id,
        origin.patient_id,
        origin.source,
        derived,
        (*origin.notes, *done.notes()),
    )


def limb_leads(signal: np.ndarray, leads: Sequence[str]) -> NamedLeads:
    """Return the leads with the limb leads that I and II imply, also where chest leads are missing.

    III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2 (Einthoven, Goldberger).
    """
    if not {"I", "II"} <= set(leads):
        return NamedLeads(signal, tuple(leads))
    one, two = signal[list(leads).index("I")], signal[list(leads).index("II")]
    implied = {
        "III": two - one,
        "aVR": -(one + two) / 2,
        "aVL": one - two / 2,
        "aVF": two - one / 2,
    }
    missing = tuple(lead for lead in implied if lead not in leads)
    rows = [*signal, *(implied[lead] for lead in missing)]
    return NamedLeads(np.stack(rows), (*leads, *missing), derived=missing)


def _rank(lead: str) -> tuple[int, str]:
    known = lead in CANONICAL_LEADS
    return (CANONICAL_LEADS.index(lead) if known else len(CANONICAL_LEADS), lead)
