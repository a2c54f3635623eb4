"""Labels from the words of a report, by rules: entities, what describes them, and what follows.

A re-implementation of ECG-FM's labeler from its description (fact sheet ecg-fm 6). Phrases are
found (``phrases.py``); a descriptor belongs to the next entity or to the last one, a connective to
both neighbors; uncertain descriptors lower the probability; more general entities follow, with
``p + (1 - p) * 0.3`` at each step up; then entities that follow from descriptors and from others.

Mode ``reference`` keeps two faults of the published code: without a connective a text loses all its
descriptors, and what is said to be absent is kept. ``corrected``, the default, mends both,
and reads how far a denial reaches (``negation.py``).
"""

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecg_fairseq.errors import LabelerError
from ecg_fairseq.records.reports.labeler_tables import (
    OWN_TABLES,
    Compound,
    ConnectivePhrase,
    DescriptorPhrase,
    EntityPhrase,
    LabelerTables,
    Mention,
    Phrase,
    read_labeler_tables,
)
from ecg_fairseq.records.reports.negation import Denied, Part, denied, may_deny, part_of_denial
from ecg_fairseq.records.reports.normalization import Normalizer
from ecg_fairseq.records.reports.phrases import MARKS, WORD, PhraseMatcher

MODES = ("corrected", "reference")
ABSENT = "Absence"
_ALWAYS_CERTAIN = ("Needs clinical correlation",)
_STEP = 0.3
_LIKELY = 0.5
_TEXTS_REMEMBERED = 1 << 16
Words = tuple[str, ...]


@dataclass(frozen=True)
class Labels:
    """What the labeler says about a text.

    Attributes:
        normalized: the text in one spelling.
        unmatched: what of it no phrase matched, with the blanks and signs between.
        probabilities: label -> probability; descriptors are labels ``Entity - Descriptor``.
        sources: label -> the phrases that gave it.
    """

    normalized: str
    unmatched: str
    probabilities: Mapping[str, float]
    sources: Mapping[str, Words]


@dataclass(slots=True)
class _Found:
    """An entity that a text names, or that follows; descriptor -> the phrases that say it."""

    name: str
    probability: float
    words: Words
    descriptors: dict[str, Words] = field(default_factory=dict)


Group = list[_Found]  # what one mention brings: itself first, then what follows from it


class Labeler:
    """Turns texts into labels.

    Args:
        tables: what to look for.
        mode: ``corrected`` or ``reference``.

    Raises:
        LabelerError: the mode is unknown.
    """

    def __init__(self, tables: LabelerTables, mode: str = "corrected") -> None:
        if mode not in MODES:
            raise LabelerError(f"labeler mode {mode!r}; expected one of {', '.join(MODES)}")
        self.mode = mode
        self._tables = tables
        self._normalize = Normalizer(tables.replacements)
        self._matcher = PhraseMatcher(tables.phrases)
        meanings = {text: phrase for batch in tables.phrases for text, phrase in batch.items()}
        self._meanings: list[Phrase] = [meanings[text] for text in self._matcher.phrases]
        self._parts = [
            _part(meaning, text)
            for meaning, text in zip(self._meanings, self._matcher.phrases, strict=True)
        ]
        self._above = {name: _steps_above(name, tables.above) for name in tables.above}
        self._traveling = [
            (
                {name for name, above in self._above.items() if name == top or top in dict(above)},
                descriptors,
            )
            for top, descriptors in tables.traveling
        ]
        self._compound_names = [
            ({item.entity for item in compound.including}, compound)
            for compound in tables.compounds
        ]
        self._attached: dict[str, list[tuple[str, str]]] = {}
        for entity, descriptor, resulting in tables.attached:
            self._attached.setdefault(entity, []).append((descriptor, resulting))
        remember = functools.lru_cache(_TEXTS_REMEMBERED)
        self.label: Callable[[str], Labels] = remember(self.label_anew)
        # Many texts differ only in words that mean nothing here.
        self._labels_of = remember(self._labels_of_phrases)

    def statements(self, text: str) -> frozenset[str]:
        """Return the entities that a text makes at least likely (0.5), without descriptors."""
        probabilities = self.label(text).probabilities
        return frozenset(
            name
            for name, probability in probabilities.items()
            if name in self._above and probability >= _LIKELY
        )

    def label_anew(self, text: str) -> Labels:
        """Label a text; :attr:`label` does the same and remembers texts that it has seen."""
        normalized = self._normalize(text)
        marked = self._matcher.mark(normalized, set(WORD.findall(normalized)))
        ranks = tuple(self._matcher.rank_of(mark) for mark in MARKS.findall(marked))
        found = self._denied(marked, ranks)
        absent = frozenset(found.absent | found.undecided)
        probabilities, sources = self._labels_of(ranks, absent)
        places = itertools.count()

        def unmatched(mark: re.Match[str]) -> str:
            is_undecided = next(places) in found.undecided
            return self._matcher.phrases[self._matcher.rank_of(mark[0])] if is_undecided else ""

        return Labels(normalized, MARKS.sub(unmatched, marked), probabilities, sources)

    def _denied(self, marked: str, ranks: Sequence[int]) -> Denied:
        """Return which phrases the words around them deny; none in mode ``reference``."""
        if self.mode == "reference":
            return Denied()
        parts = [self._parts[rank] for rank in ranks]
        words = MARKS.split(marked)
        is_said = any(part in (Part.DENIAL, Part.WORDS) for part in parts)
        if not is_said and not any(may_deny(text) for text in words):
            return Denied()
        pieces: list[tuple[Part, str] | str] = [words[0]]
        for part, rank, text in zip(parts, ranks, words[1:], strict=True):
            pieces += [(part, self._matcher.phrases[rank]), text]
        return denied(pieces)

    def _labels_of_phrases(
        self, ranks: Sequence[int], absent: frozenset[int]
    ) -> tuple[dict[str, float], dict[str, Words]]:
        """Return labels and their sources from phrases in the order of the text.

        Args:
            ranks: of the phrases.
            absent: places of the phrases whose entities are not there.
        """
        groups = self._mentions(ranks, absent)
        for group in groups:
            self._follow(group)
        groups += self._compounds(groups)
        return self._collected(groups)

    def _mentions(self, ranks: Sequence[int], absent: frozenset[int]) -> list[Group]:
        """Return what the phrases of a text name, with the descriptors that belong to it."""
        meanings = [self._meanings[rank] for rank in ranks]
        places = [
            place for place, meaning in enumerate(meanings) if isinstance(meaning, EntityPhrase)
        ]
        described: dict[int, dict[str, Words]] = {
            place: {ABSENT: ()} if place in absent else {} for place in places
        }
        keeps_all = self.mode == "corrected" or any(
            isinstance(meaning, ConnectivePhrase) for meaning in meanings
        )
        for place, meaning in enumerate(meanings):
            words = (self._matcher.phrases[ranks[place]],)
            if isinstance(meaning, ConnectivePhrase):
                _describe(described, _last(places, place), meaning.before, words)
                _describe(described, _next(places, place), meaning.after, words)
            elif isinstance(meaning, DescriptorPhrase) and keeps_all:
                neighbor = _last if meaning.is_after else _next
                names = self._described_by(meaning)
                _describe(described, neighbor(places, place), names, words)
        groups = []
        for place in places:
            meaning = meanings[place]
            words = (self._matcher.phrases[ranks[place]],)
            if isinstance(meaning, EntityPhrase):
                groups += [self._group(item, words, described[place]) for item in meaning.mentions]
        return groups

    def _described_by(self, phrase: DescriptorPhrase) -> Words:
        """Return what a phrase says of its neighbor; how far absence reaches is read apart."""
        if self.mode == "reference" or phrase.is_after:
            return phrase.descriptors
        return tuple(name for name in phrase.descriptors if name != ABSENT)

    def _group(self, mention: Mention, words: Words, described: Mapping[str, Words]) -> Group:
        """Return a mention, and the entities that its descriptors bring."""
        descriptors = {**dict.fromkeys(mention.descriptors, words), **described}
        certainty = self._tables.certainty
        probability = min(
            (certainty[name] for name in descriptors if name in certainty), default=1.0
        )
        is_absent = descriptors.pop(ABSENT, None) is not None
        group = []
        if not (is_absent and self.mode == "corrected"):
            group.append(_Found(mention.entity, probability, words, descriptors))
        for name, said in descriptors.items():
            for entity in self._tables.creates.get(name, ()):
                group.append(_Found(entity, probability, said))
        for found in group:
            if found.name in _ALWAYS_CERTAIN:
                found.probability = 1.0
        return group

    def _follow(self, group: Group) -> None:
        """Add what follows inside one mention: general entities, descriptors, attached entities."""
        self._add_general(group, list(group))
        if not any(found.descriptors for found in group):
            return
        for below, descriptors in self._traveling:
            self._travel(group, below, descriptors)
        attached = [
            _Found(resulting, found.probability, _joined(found.words, found.descriptors[name]))
            for found in group
            for name, resulting in self._attached.get(found.name, ())
            if name in found.descriptors
        ]
        group += attached
        self._add_general(group, attached)

    def _add_general(self, group: Group, starts: Iterable[_Found]) -> None:
        for found in starts:
            for name, steps in self._above[found.name]:
                group.append(_Found(name, _raised(found.probability, steps), found.words))

    def _travel(self, group: Group, below: set[str], descriptors: frozenset[str]) -> None:
        """Hand descriptors up to the more general entities of the same mention."""
        moves = [
            (found, name, found.descriptors[name])
            for found in group
            if found.name in below
            for name in descriptors.intersection(found.descriptors)
        ]
        for found, name, words in moves:
            above = dict(self._above[found.name])
            for other in group:
                if other.name in above and other.name in below:
                    other.descriptors.setdefault(name, words)

    def _compounds(self, groups: Sequence[Group]) -> list[Group]:
        """Return entities that are there because others are."""
        made: list[Group] = []
        if not groups:
            return made
        by_name: dict[str, list[tuple[int, _Found]]] = {}
        for number, group in enumerate(groups):
            for found in group:
                by_name.setdefault(found.name, []).append((number, found))
        for needed, compound in self._compound_names:
            words = _compound_words(compound, by_name) if needed <= by_name.keys() else None
            if words is not None:
                group = [_Found(compound.entity, 1.0, words)]
                self._add_general(group, list(group))
                made.append(group)
        return made

    def _collected(self, groups: Iterable[Group]) -> tuple[dict[str, float], dict[str, Words]]:
        found: dict[str, tuple[float, Words]] = {}
        needs_descriptor = self._tables.needs_descriptor
        for item in itertools.chain.from_iterable(groups):
            if item.name not in needs_descriptor:
                _keep(found, item.name, item.probability, item.words)
            for descriptor, words in item.descriptors.items():
                _keep(found, f"{item.name} - {descriptor}", 1.0, _joined(item.words, words))
        names = sorted(found)
        return {name: found[name][0] for name in names}, {name: found[name][1] for name in names}


def _keep(
    found: dict[str, tuple[float, Words]], name: str, probability: float, words: Words
) -> None:
    """Keep the higher probability of a label, and all words that gave it."""
    if name in found:
        known, before = found[name]
        found[name] = max(known, probability), _joined(before, words)
    else:
        found[name] = probability, words


def open_labeler(folder: Path | None = None, mode: str = "corrected") -> Labeler:
    """Return a labeler of a folder of tables; of the package's own ones where none is given.

    Raises:
        LabelerError: the tables are missing or damaged, or the mode is unknown.
    """
    return Labeler(read_labeler_tables(OWN_TABLES if folder is None else folder), mode)


def _part(phrase: Phrase, text: str) -> Part:
    """Return what a phrase is for the reading of denials."""
    if isinstance(phrase, EntityPhrase):
        return Part.FINDING if phrase.mentions else Part.WORDS
    if isinstance(phrase, DescriptorPhrase):
        is_denial = ABSENT in phrase.descriptors and not phrase.is_after
        return part_of_denial(text) if is_denial else Part.DESCRIPTOR
    return Part.WORDS


def _last(places: Sequence[int], place: int) -> int | None:
    return max((entity for entity in places if entity < place), default=None)


def _next(places: Sequence[int], place: int) -> int | None:
    return min((entity for entity in places if entity > place), default=None)


def _describe(
    described: dict[int, dict[str, Words]], place: int | None, names: Words, words: Words
) -> None:
    if place is not None:
        for name in names:
            described[place].setdefault(name, words)


def _joined(first: Words, second: Words) -> Words:
    if first == second:
        return first
    return first + tuple(word for word in second if word not in first)


@functools.cache
def _raised(probability: float, steps: int) -> float:
    for _ in range(steps):
        probability = probability + (1 - probability) * _STEP
    return probability


def _steps_above(name: str, above: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, int], ...]:
    """Return each more general entity with its number of steps up, each way up by itself."""
    found: dict[tuple[str, int], None] = {}
    level, steps = [name], 0
    while level:
        steps += 1
        level = list(dict.fromkeys(up for member in level for up in above[member]))
        found.update(dict.fromkeys((up, steps) for up in level))
    return tuple(found)


def _compound_words(
    compound: Compound, by_name: Mapping[str, list[tuple[int, _Found]]]
) -> Words | None:
    """Return the phrases that make up a compound; None where it is not there."""
    if any(_mentioned(item, by_name) is not None for item in compound.excluding):
        return None
    words: Words = ()
    for item in compound.including:
        found = _mentioned(item, by_name)
        if found is None:
            return None
        words = _joined(words, found)
    return words


def _mentioned(item: Mention, by_name: Mapping[str, list[tuple[int, _Found]]]) -> Words | None:
    """Return the phrases of an entity that has all descriptors within one mention, or None."""
    needed = set(item.descriptors)
    described: dict[int, set[str]] = {}
    for number, found in by_name.get(item.entity, ()):
        members = described.setdefault(number, set())
        members.update(found.descriptors)
        if needed <= members:
            return found.words
    return None
