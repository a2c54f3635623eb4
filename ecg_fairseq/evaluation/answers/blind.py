"""Which ECG a blind run shows: another patient's, within the same question template.

A blind model keeps its weights, its prompt and the question; only the recording is exchanged. What
it still scores comes from wording and from the answers' frequencies, so it is the floor that a
model which reads ECGs must beat (design.md 5).

Partners follow from a hash of the question, never from the order of patients or visits: where each
patient is asked before and after a change, the same place in that order has the same answer, and
the floor of a model that reads the exchanged ECG perfectly would be 1.
"""

import hashlib
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import combinations
from typing import Protocol

import numpy as np

from ecg_fairseq.records.questions.question import Question

Patients = frozenset[str]
PARTNER_SEED = 0
# A partner among others is mostly a few steps away; these bound the rare searches that find none.
_NEAR_STEPS = 64
_STEPS_PER_QUESTION = 64
# Subsets of more patients than this are too many to count.
_MOST_PATIENTS_COUNTED = 6


class Asked(Protocol):
    """What tells a question, its group, and whose ECGs it is about."""

    @property
    def id(self) -> str:
        """Of the question."""

    @property
    def template_id(self) -> int:
        """Of the question."""

    @property
    def record_ids(self) -> Sequence[str]:
        """Of its ECGs."""

    @property
    def patient_ids(self) -> Sequence[str]:
        """Of its ECGs."""


def blind_partners(questions: Sequence[Asked], seed: int = PARTNER_SEED) -> list[int | None]:
    """Return, for each question, the index of the question whose ECGs are shown instead.

    Partners share the template and the number of ECGs, and no patient. Questions of a group stand
    in the order of a hash of (seed, question id), and the next one is the partner; where that one
    is of the same patient, two questions exchange partners. Partners are thus a permutation, by
    which the ECGs shown have the distribution of the sighted run: for questions about one patient
    each wherever one exists, for others where the search finds one. Questions left over take the
    next question of other patients. The result depends on the set of questions only, not on their
    order.

    Returns:
        One index or None per question; None where no other question of the group has disjoint
        patients (leave it out of the blind score, and say how many were left out).
    """
    partners: list[int | None] = [None] * len(questions)
    for members in _groups(questions):
        members.sort(key=lambda index: _hashed(seed, questions[index].id))
        patients = [frozenset(questions[index].patient_ids) for index in members]
        # Whoever shares a patient with all others has no partner, and is nobody's.
        able = [place for place, own in enumerate(own_shares(patients)) if own < 1.0]
        found = _Partners([patients[place] for place in able]).found()
        for place, partner in zip(able, found, strict=True):
            partners[members[place]] = members[able[partner]]
    return partners


def questions_shown(questions: Sequence[Question], is_blind: bool) -> Sequence[Question | None]:
    """Return, for each question, the one whose ECGs are shown: itself, or its blind partner."""
    if not is_blind:
        return questions
    return [None if i is None else questions[i] for i in blind_partners(questions)]


def shares_with_own_patients(asked: Sequence[Asked]) -> np.ndarray:
    """Return the share of each question's group (itself too) that is about a patient of its own.

    float64 (N,), above 0; 1 where nobody else is there. A blind run never shows these ECGs; see
    ``scores.py`` for what follows.
    """
    shares = np.empty(len(asked))
    for members in _groups(asked):
        shares[members] = own_shares([frozenset(asked[index].patient_ids) for index in members])
    return shares


def own_shares(patients: Sequence[Patients]) -> list[float]:
    """Return which share of a group's questions has a patient in common with each of them.

    Questions with all of some patients are counted once for every subset, so that nothing is
    compared with everything (inclusion and exclusion).
    """
    distinct = Counter(patients)
    if max(map(len, distinct), default=0) > _MOST_PATIENTS_COUNTED:
        touching = {
            own: sum(count for other, count in distinct.items() if own & other) for own in distinct
        }
    else:
        holding: Counter[tuple[str, ...]] = Counter()
        for own, count in distinct.items():
            for subset in _subsets(own):
                holding[subset] += count
        touching = {
            own: sum((-1) ** (len(subset) + 1) * holding[subset] for subset in _subsets(own))
            for own in distinct
        }
    return [touching[own] / len(patients) for own in patients]


def _subsets(patients: Patients) -> Iterator[tuple[str, ...]]:
    names = sorted(patients)
    for size in range(1, len(names) + 1):
        yield from combinations(names, size)


def _groups(asked: Sequence[Asked]) -> list[list[int]]:
    """Return the questions that may be partners: of one template and one number of ECGs."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, question in enumerate(asked):
        groups[question.template_id, len(question.record_ids)].append(index)
    return list(groups.values())


def _hashed(seed: int, question_id: str) -> tuple[str, str]:
    text = f"{seed}\t{question_id}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest(), question_id


class _Partners:
    """Partners within one group in hashed order, of whom everyone has somebody to be shown."""

    def __init__(self, patients: Sequence[Patients]) -> None:
        self._patients = patients
        self._order = [(place + 1) % len(patients) for place in range(len(patients))]
        self._steps_left = _STEPS_PER_QUESTION * len(patients)
        # Where the last search for such a pair ended; None: in vain, so that no other is made.
        self._reached: dict[tuple[Patients, Patients], int | None] = {}
        self._counts = Counter(name for own in patients for name in own)
        self._without: dict[str, list[int]] = {}

    def found(self) -> list[int]:
        """Return the partner's place of every place."""
        for place in range(len(self._patients)):
            if self._is_conflict(place):
                self._exchange(place)
        return [
            self._next_other(place) if self._is_conflict(place) else partner
            for place, partner in enumerate(self._order)
        ]

    def _is_conflict(self, place: int) -> bool:
        return not self._patients[place].isdisjoint(self._patients[self._order[place]])

    def _exchange(self, place: int) -> None:
        """Exchange partners with the next place where both are then without a conflict."""
        patients, order = self._patients, self._order
        own, shown = patients[place], patients[order[place]]
        start = self._reached.get((own, shown), place)
        if start is None:
            return

        def fits(other: int) -> bool:
            return own.isdisjoint(patients[order[other]]) and shown.isdisjoint(patients[other])

        other = self._first(start, fits, self._steps_left)
        self._reached[own, shown] = other
        if other is not None:
            order[place], order[other] = order[other], order[place]

    def _first(self, place: int, fits: Callable[[int], bool], most_steps: int) -> int | None:
        """Return the first place after one, going round, that fits; steps are counted."""
        size = len(self._patients)
        most_steps = min(size, most_steps)
        for step in range(1, most_steps + 1):
            other = (place + step) % size
            if fits(other):
                self._steps_left -= step
                return other
        self._steps_left -= max(most_steps, 0)
        return None

    def _next_other(self, place: int) -> int:
        """Return the next place, going round, whose patients are all other ones."""
        own = self._patients[place]

        def fits(other: int) -> bool:
            return own.isdisjoint(self._patients[other])

        near = self._first(place, fits, _NEAR_STEPS)
        if near is not None:
            return near
        # Most of the group is of one of its patients: look among the rest alone.
        rest = self._places_without(max(own, key=lambda name: (self._counts[name], name)))
        start = bisect(rest, place)
        return next(other for other in (*rest[start:], *rest[:start]) if fits(other))

    def _places_without(self, patient: str) -> list[int]:
        if patient not in self._without:
            places = enumerate(self._patients)
            self._without[patient] = [place for place, own in places if patient not in own]
        return self._without[patient]
