"""Which lead a DICOM channel is: by its coded source, then by its texts.

Codes are compared by value, because meanings are free text. Two code systems are in use, with the
same numbers: SCP-ECG (``5.6.3-9-N``, scheme SCPECG) and IEEE 11073-10101 (``2:N``, scheme MDC).
Reference: DICOM PS3.16, context group 3001.
"""

import re
from typing import Any

from ecg_fairseq.errors import RecordError
from ecg_fairseq.signal.leads import lead_and_sign

_NUMBERS = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 65: "-aVR"}
_NUMBERS |= {number + 2: f"V{number}" for number in range(1, 8)}
_NUMBERS |= {11: "V3R", 12: "V4R", 13: "V5R", 14: "V6R", 16: "VX", 17: "VY", 18: "VZ"}
_NUMBERS |= {66: "V8", 67: "V9"}
_FORMS = {
    "SCPECG": re.compile(r"5\.6\.3-9-0*(\d{1,3})", re.ASCII),
    "MDC": re.compile(r"2:0*(\d{1,3})", re.ASCII),
}
_REFERENCE = re.compile(r"MDC_ECG_LEAD_\w+", re.ASCII)
_QUALIFIER = re.compile(r"\s*\([^)]*\)")


def lead_name(channel: Any) -> tuple[str, str]:
    """Return (name for the parser of lead names, note) of a channel; the note is mostly empty.

    A code that its own scheme knows decides, even against the texts; the note then says so. Without
    one the meaning decides, then the channel's label, then a code of another scheme.
    """
    sources = channel.get("ChannelSourceSequence") or ()
    source = sources[0] if sources else {}
    code, scheme = (_text(source.get(key)) for key in ("CodeValue", "CodingSchemeDesignator"))
    texts = [_text(source.get("CodeMeaning")), _text(channel.get("ChannelLabel"))]
    named = [found for found in map(_lead_in, texts) if found]
    own = _of_scheme(code, scheme)
    if own:
        is_other = bool(named) and lead_and_sign(named[0]) != lead_and_sign(own)
        return own, f"code {code} is lead {own}, its meaning says {texts[0]!r}" if is_other else ""
    others = [_of_scheme(code, other) for other in _FORMS]
    return next(iter([*named, *filter(None, others)]), texts[0] or texts[1] or code), ""


def _of_scheme(code: str, scheme: str) -> str:
    """Return the lead of a code that is of a scheme's form; empty when it is not."""
    if scheme == "MDC" and _REFERENCE.fullmatch(code):
        return _lead_in(code)
    form = _FORMS.get(scheme)
    match = form.fullmatch(code) if form else None
    return _NUMBERS.get(int(match[1]), "") if match else ""


def _lead_in(text: str) -> str:
    """Return the part of a free text that is a lead's name; empty when there is none."""
    bare = _QUALIFIER.sub("", text).split(",")[0]
    # "Unipolar Lead V1", "ECG Lead I": what stands before the word "lead" only describes it.
    shorter = re.sub(r"^.*\b(?=lead\b)", "", bare, flags=re.IGNORECASE)
    for candidate in dict.fromkeys((bare, shorter)):
        try:
            lead_and_sign(candidate)
        except RecordError:
            continue
        return candidate
    return ""


def _text(value: object) -> str:
    return str(value or "").strip(" \0")
