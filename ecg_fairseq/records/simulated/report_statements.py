"""The statements of a simulated report, exactly: the inverse of its wordings."""

import functools
import re
import unicodedata

from ecg_fairseq.records.simulated.report_wordings import JOINERS, LANGUAGES, WORDINGS

_SENTENCE_END = re.compile(r"[.,;\n]")
_SPACE = re.compile(r"\s+")
_JOINER = rf" (?:{'|'.join(word for words in JOINERS.values() for word in words)}) "


@functools.cache
def _meanings() -> dict[str, tuple[str, ...]]:
    """Return wording -> statements."""
    return {
        text: wordings.statements
        for wordings in WORDINGS
        for language in LANGUAGES
        for text in wordings.of(language)
    }


@functools.cache
def _clause() -> re.Pattern[str]:
    """Return what a whole clause must be: wordings, joined."""
    texts = sorted(_meanings(), key=lambda text: (-len(text), text))
    wording = f"(?:{'|'.join(map(re.escape, texts))})"
    return re.compile(rf"{wording}(?:{_JOINER}{wording})*")


@functools.cache
def _part() -> re.Pattern[str]:
    """Return a wording with the joiner behind it; the longest wording that can be is taken."""
    texts = sorted(_meanings(), key=lambda text: (-len(text), text))
    return re.compile(rf"({'|'.join(map(re.escape, texts))})(?:{_JOINER}|$)")


def statements(text: str) -> frozenset[str]:
    """Return what a report in the simulator's wordings says; case and spaces do not count.

    A clause (up to a full stop, comma or semicolon) is understood as a whole or not at all, so that
    "no left axis deviation" is never read as left axis deviation. Other clauses say nothing.

    >>> sorted(statements("sinus rhythm with lvh. st depression, normal ecg?"))
    ['left ventricular hypertrophy', 'non-specific st depression', 'sinus rhythm']
    """
    found: set[str] = set()
    for part in _SENTENCE_END.split(unicodedata.normalize("NFC", text).lower()):
        clause = _SPACE.sub(" ", part).strip()
        if _clause().fullmatch(clause):
            found.update(name for word in _wordings_of(clause) for name in _meanings()[word])
    return frozenset(found)


def _wordings_of(clause: str) -> list[str]:
    """Return the wordings of a clause that :func:`_clause` matches."""
    found, place = [], 0
    while place < len(clause):
        match = _part().match(clause, place)
        if match is None:
            break
        found.append(match[1])
        place = match.end()
    return found
