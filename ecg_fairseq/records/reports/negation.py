"""Which findings of a text its words deny: over lists, and from behind the finding.

Tables of phrases say what one word before one finding means. "no LVH, RVH or LBBB", "LVH is not
present" and "neither LVH nor RBBB" need the order of the clause: its words are looked at once the
findings are known. A finding whose denial the rules cannot decide ("no LVH, RBBB") is *undecided*:
it gives no label, and its words stay among those that nothing matched.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

# Private characters, which normalized texts never have: what stands in place of a phrase.
_FINDING, _DESCRIPTOR, _DENIAL = "\U000ffffb", "\U000ffffc", "\U000ffffd"
_CLAUSE_END = re.compile(
    r"[.;!?]+(?=\s|$)(?!\s*(?:no|none|nein|not|absent|negative)\s*(?:[.,;]|$))"
    r"|\s-+\s(?!(?:none|not?|absent|negative|resolved|ruled out|excluded|gone|nein|nicht|kein\w*"
    r"|ausgeschlossen)\b)"
    r"|\b(?:but|however|although|though|except|apart from|other than|otherwise|aber|jedoch"
    r"|sondern|sonst)\b"
)
_NOT = r"(?:no longer|not|never|cannot|unable to|nicht mehr|nicht|\w+n't)"
_SEEN = (
    r"(?:present|seen|evident|noted|detected|identified|found|observed|visible|demonstrated"
    r"|appreciated|apparent|met|fulfilled|confirmed|diagnosed|recorded|there|nachweisbar"
    r"|nachzuweisen|nachgewiesen|vorhanden|erkennbar|sichtbar|zu sehen|zu erkennen|feststellbar"
    r"|gefunden|gesehen|erfüllt|erfuellt)"
)
_ENDS = r"(?=\s*(?:[,)]|$))"
_CUES = re.compile(
    r"(?P<unsure>\b(?:cannot|can not|can't|could not|not)(?: be| been| yet| entirely| completely)*"
    r" (?:ruled? out|excluded?)\b|\bnicht (?:\w+ )?(?:ausgeschlossen|auszuschlie(?:ss|ß)en)\b"
    rf"|\b(?:unlikely|unwahrscheinlich)\b|\b(?:doubtful|negative){_ENDS}|\brule out\b)"
    rf"|(?P<skip>\bno (?:[\w{_DESCRIPTOR}-]+ ){{0,2}}changes?\b"
    rf"|\bno (?:previous|prior|old|{_DESCRIPTOR}|earlier) "
    r"(?:ecgs?|tracings?|study|studies|records?)\b|\bnot only\b"
    rf"|\b{_NOT} (?:sicher )?(?:determin\w+|known|dated|bestimmbar|datierbar|bekannt|beurteilbar)\b"
    rf"|\b{_NOT} (?:{_SEEN} )?(?:on|in) (?:the )?"
    rf"(?:previous|prior|earlier|last|old|{_DESCRIPTOR}|ecg \d)"
    rf"|\b{_NOT} (?:new|changed|neu){_ENDS}"
    rf"|\bim vor-?ecg {_NOT} {_SEEN}\b)"
    rf"|(?P<before>\b(?:absent|resolved|excluded|fehlende\w?)(?= [{_FINDING}{_DESCRIPTOR}])"
    rf"|\bnon-?\s?(?={_FINDING}))"
    rf"|(?P<behind>\b{_NOT} (?:\w+ ){{0,2}}?{_SEEN}\b"
    r"|\b(?:absent|ruled out|excluded|resolved|gone|disappeared|ausgeschlossen|none|nein|fehlt"
    r"|fehlen|replaced by)\b|[:=] ?(?:negative|false|n|0)\b|-free\b"
    rf"|\b(?:no|no more|kein\w?\w?|{_NOT}){_ENDS})"
    rf"|(?P<not>\b{_NOT}(?!\w))"
    r"|(?P<forward>\b(?:no|without|neither|nor|absence of|lack of|negative for|free of|free from"
    r"|excludes?|excluding|rules out|ruling out|denies|denied|has replaced|kein(?:e[nmrs]?|erlei)?"
    rf"|ohne|weder|ausschluss|ingen|inga|inget|utan)(?!\w)|w/o|{_DENIAL})"
)
_OR = re.compile(r"\b(?:or|nor|oder|noch|eller)\b|/")
_LISTED = re.compile(r"\b(?:or|as well as|sowie|nor|and|oder|noch|und|eller|och)\b|/")
_PLURAL = re.compile(r"\b(?:are|were|have|sind|waren|aren't|weren't)\s*$")
_DIRECT = re.compile(rf"[\s{_DESCRIPTOR}]*(?:(?:in|a|an|the|due to|consistent with) ?)?")
_FILLING = re.compile(rf"[\s{_DESCRIPTOR}]*")


class Part(Enum):
    """What a phrase is for the reading of denials."""

    FINDING = _FINDING
    DESCRIPTOR = _DESCRIPTOR
    DENIAL = _DENIAL
    WORDS = ""  # read as they stand


@dataclass
class Denied:
    """Places of findings, counted over the phrases of the text."""

    absent: set[int] = field(default_factory=set)
    undecided: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Clause:
    text: str
    places: Sequence[int]  # of its findings, among the phrases of the text
    phrases: Sequence[str]
    starts: Sequence[int]  # of its findings, in its text

    def gap(self, number: int) -> str:
        """Return what stands between a finding and the one before it."""
        return self.text[self.starts[number - 1] + 1 : self.starts[number]]

    def are_written_as_one(self, number: int) -> bool:
        """Whether the sentence rules have joined two findings: "atrial fibrillation or flutter"."""
        return all(words.startswith("atrial ") for words in self.phrases[number - 1 : number + 1])


def part_of_denial(phrase: str) -> Part:
    """Return how a phrase that means absence is read: by its words where they are known."""
    return Part.WORDS if _CUES.fullmatch(phrase) else Part.DENIAL


def may_deny(text: str) -> bool:
    """Return whether words before a phrase may deny something; quick."""
    return any(_CUES.search(words) for words in (text, text + _FINDING))


def denied(pieces: Sequence[tuple[Part, str] | str]) -> Denied:
    """Return which findings of a text are denied, and of which that cannot be decided.

    Args:
        pieces: the normalized text in order: phrases with what they are, and the words between.
    """
    found = Denied()
    for clause in _clauses(pieces):
        for cue in _CUES.finditer(clause.text) if clause.places else ():
            _read_cue(clause, cue, found)
    found.undecided -= found.absent
    return found


def _clauses(pieces: Sequence[tuple[Part, str] | str]) -> Iterator[_Clause]:
    text, places, phrases, place = "", [], [], 0
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        part, phrase = piece
        text += part.value or phrase
        if part is Part.FINDING:
            places.append(place)
            phrases.append(phrase)
        place += 1
    start = used = 0
    for end in [*(match.span() for match in _CLAUSE_END.finditer(text)), (len(text), len(text))]:
        words = text[start : end[0]]
        starts = [match.start() for match in re.finditer(_FINDING, words)]
        last = used + len(starts)
        yield _Clause(words, places[used:last], phrases[used:last], starts)
        start, used = end[1], last


def _read_cue(clause: _Clause, cue: re.Match[str], found: Denied) -> None:
    kind = cue.lastgroup
    unsure = Denied(found.undecided, found.undecided)
    before = sum(start < cue.start() for start in clause.starts)  # also: the first one behind
    has_next = before < len(clause.starts)
    between = clause.text[cue.end() : clause.starts[before]] if has_next else ""
    if kind in ("before", "forward"):
        if has_next:
            _deny_forward(clause, before, found)
        elif before and clause.text[clause.starts[before - 1] + 1 : cue.start()].strip() in (
            ":",
            "=",
        ):
            found.absent.add(clause.places[before - 1])
        elif before and cue[0] == "neither":
            _deny_backward(clause, before - 1, cue.start(), found)
    elif kind == "behind" and before:
        _deny_backward(clause, before - 1, cue.start(), found)
    elif kind == "behind":
        _deny_forward(clause, before, found)
    elif kind == "not" and has_next and (not before or "," not in between):
        is_direct = _DIRECT.fullmatch(between) is not None
        _deny_forward(clause, before, found if is_direct else unsure)
    elif kind == "not" or (kind == "unsure" and before and cue[0] != "rule out"):
        _deny_backward(clause, before - 1, cue.start(), unsure)
    elif kind == "unsure" and has_next and cue[0] not in ("doubtful", "negative"):
        _deny_forward(clause, before, unsure)


def _deny_forward(clause: _Clause, first: int, found: Denied) -> None:
    """Deny a finding and what is listed behind it; without an "or" a list is undecided."""
    numbers = range(first + 1, len(clause.starts))
    is_or = {number: _OR.search(clause.gap(number)) is not None for number in numbers}
    last = max(
        (number for number in numbers if is_or[number] or _joined(clause, number)), default=first
    )
    found.absent.update(clause.places[first : last + 1])
    for number in range(last + 1, len(clause.starts)):
        if _FILLING.fullmatch(clause.gap(number)):
            return
        found.undecided.add(clause.places[number])


def _joined(clause: _Clause, number: int) -> bool:
    return _FILLING.fullmatch(clause.gap(number)) is not None and clause.are_written_as_one(number)


def _deny_backward(clause: _Clause, nearest: int, end: int, found: Denied) -> None:
    """Deny a finding and what is listed before it; a comma alone begins another statement."""
    found.absent.add(clause.places[nearest])
    behind = clause.text[clause.starts[nearest] + 1 : end]
    is_list = _PLURAL.search(behind) is not None
    for number in range(nearest, 0, -1):
        gap = clause.gap(number)
        is_listed = _LISTED.search(gap) is not None
        if not is_listed and not (is_list and "," in gap) and not _joined(clause, number):
            return
        is_list = is_list or is_listed
        found.undecided.add(clause.places[number - 1])
