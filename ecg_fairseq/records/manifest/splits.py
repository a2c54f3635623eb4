"""Who is on which side: splits by patient, with identical signals tied together.

Records that share a patient, or whose signals are byte-identical, form one group; a group is never
divided. Where a published assignment would divide it, the whole group goes to its earliest side
(train before valid before test), so that published test sets can only lose records, never gain some
that were trained on elsewhere. Every such move is reported.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ecg_fairseq.errors import ManifestError

SPLIT_ORDER = {"train": 0, "valid": 1, "test": 2}


@dataclass(frozen=True)
class Member:
    """What a split needs to know of a record; ``signal_hash`` may be empty when unknown."""

    record_id: str
    patient_id: str
    signal_hash: str = ""


@dataclass(frozen=True)
class Assignment:
    """The result of a split.

    Attributes:
        sides: record id -> side.
        moves: (record id, published side, side) for records that a group pulled over.
    """

    sides: dict[str, str]
    moves: list[tuple[str, str, str]] = field(default_factory=list)


def groups_of(members: Sequence[Member]) -> list[list[Member]]:
    """Return members grouped by shared patient or identical signal, in order of appearance."""
    parent = list(range(len(members)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    first: dict[tuple[str, str], int] = {}
    for index, member in enumerate(members):
        for key in (("patient", member.patient_id), ("signal", member.signal_hash)):
            if not key[1]:
                continue
            other = root(first.setdefault(key, index))
            mine = root(index)
            parent[max(other, mine)] = min(other, mine)
    gathered: dict[int, list[Member]] = {}
    for index, member in enumerate(members):
        gathered.setdefault(root(index), []).append(member)
    return list(gathered.values())


def split_as_published(members: Sequence[Member], published: Mapping[str, str]) -> Assignment:
    """Keep a published assignment (record id -> side) except where it would divide a group.

    Raises:
        ManifestError: a record has no published side or an unknown one.
    """
    sides: dict[str, str] = {}
    moves: list[tuple[str, str, str]] = []
    for group in groups_of(members):
        for member in group:
            if published.get(member.record_id) not in SPLIT_ORDER:
                raise ManifestError(
                    f"record {member.record_id} has side {published.get(member.record_id)!r}; "
                    f"expected one of {', '.join(SPLIT_ORDER)}"
                )
        side = min((published[member.record_id] for member in group), key=SPLIT_ORDER.__getitem__)
        for member in group:
            sides[member.record_id] = side
            if published[member.record_id] != side:
                moves.append((member.record_id, published[member.record_id], side))
    return Assignment(sides, moves)


def split_by_patient(
    members: Sequence[Member], seed: int, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> Assignment:
    """Divide groups at random, by number of groups.

    The order of ``members`` does not matter: groups are sorted by their smallest patient id and
    then shuffled with ``seed``. With three groups or more no side with a fraction above 0 is empty.

    Raises:
        ManifestError: the fractions are negative or do not add up to 1.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ManifestError(f"split fractions {fractions}; expected three that add up to 1")
    groups = sorted(groups_of(members), key=lambda group: min(m.patient_id for m in group))
    order = np.random.default_rng(seed).permutation(len(groups))
    counts = _counts(len(groups), fractions)
    names = [name for name, count in zip(SPLIT_ORDER, counts, strict=True) for _ in range(count)]
    sides = {
        member.record_id: name
        for position, name in zip(order, names, strict=True)
        for member in groups[position]
    }
    return Assignment({member.record_id: sides[member.record_id] for member in members})


def _counts(total: int, fractions: tuple[float, float, float]) -> tuple[int, int, int]:
    wanted = [1 if fraction > 0 else 0 for fraction in fractions]
    if total < sum(wanted):
        return total, 0, 0
    valid = max(wanted[1], round(total * fractions[1]))
    test = max(wanted[2], round(total * fractions[2]))
    return total - valid - test, valid, test


def keep_fraction(patient_id: str, fraction: float, seed: int) -> bool:
    """Say whether a patient belongs to a sample of ``fraction`` of all patients.

    It depends on patient and seed alone, so a smaller sample is part of a larger one.
    """
    if fraction >= 1:
        return True
    digest = hashlib.sha256(f"{seed}\t{patient_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64 < fraction


def split_hash(patient_sides: Mapping[str, str]) -> str:
    """Return the SHA-256 of the sorted lines ``patient_id<TAB>side``."""
    lines = sorted(f"{patient}\t{side}" for patient, side in patient_sides.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def patients_per_side(patient_sides: Mapping[str, str]) -> dict[str, int]:
    """Return how many patients each side holds."""
    counts = Counter(patient_sides.values())
    return {side: counts.get(side, 0) for side in SPLIT_ORDER}
