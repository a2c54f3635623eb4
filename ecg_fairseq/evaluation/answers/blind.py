"""Which ECG a blind run shows: another patient's, within the same question template.

A blind model keeps its weights, its prompt and the question; only the recording is exchanged. What
it still scores comes from wording and from the answers' frequencies, so it is the floor that a
model which reads ECGs must beat (design.md 5).
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from ecg_fairseq.records.questions.question import Question

Patients = frozenset[str]


def blind_partners(questions: Sequence[Question]) -> list[int | None]:
    """Return, for each question, the index of the question whose ECGs are shown instead.

    Partners share the template and the number of ECGs, and no patient. Within a group the partners
    are a permutation wherever one exists that the search finds, so that the ECGs shown have the
    same distribution as in the sighted run; questions left over take the nearest question of
    disjoint patients. The result depends on the set of questions only, not on their order, and
    uses no random numbers.

    Returns:
        One index or None per question; None where no other question of the group has disjoint
        patients (leave it out of the blind score, and say how many were left out).
    """
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, question in enumerate(questions):
        groups[question.template_id, len(question.record_ids)].append(index)
    partners: list[int | None] = [None] * len(questions)
    for members in groups.values():
        members.sort(key=lambda index: _shuffled_key(questions[index]))
        patients = [frozenset(questions[index].patient_ids) for index in members]
        for position, partner in enumerate(_partners_in_group(patients)):
            partners[members[position]] = None if partner is None else members[partner]
    return partners


def questions_shown(questions: Sequence[Question], is_blind: bool) -> Sequence[Question | None]:
    """Return, for each question, the one whose ECGs are shown: itself, or its blind partner."""
    if not is_blind:
        return questions
    return [None if i is None else questions[i] for i in blind_partners(questions)]


def _shuffled_key(question: Question) -> tuple[str, str, str]:
    """Order by hashed patients: neighbours are unrelated, one patient's questions adjoin."""
    patients = "\t".join(sorted(question.patient_ids))
    digest = hashlib.sha256(patients.encode("utf-8")).hexdigest()
    return digest, patients, question.id


def _partners_in_group(patients: list[Patients]) -> list[int | None]:
    """Return partners as positions within one group that is sorted by patient."""
    size = len(patients)
    counts = Counter(patient for members in patients for patient in members)
    shift = max(counts.values(), default=0)
    # With one patient a question, rotating by the largest count clears every conflict if any
    # permutation can; questions on two patients may keep some, which swaps then clear.
    order = [(position + shift) % size for position in range(size)]
    conflicts = [i for i in range(size) if patients[i] & patients[order[i]]]
    for position in conflicts:
        _swap_conflict_away(position, order, patients)
    return [
        partner if not patients[position] & patients[partner] else _nearest(position, patients)
        for position, partner in enumerate(order)
    ]


def _swap_conflict_away(position: int, order: list[int], patients: list[Patients]) -> None:
    """Exchange partners with another position if that leaves both without a shared patient."""
    own = patients[position]
    if not own & patients[order[position]]:
        return
    for other in range(len(order)):
        if not own & patients[order[other]] and not patients[other] & patients[order[position]]:
            order[position], order[other] = order[other], order[position]
            return


def _nearest(position: int, patients: list[Patients]) -> int | None:
    """Return the next position, going round, whose patients are disjoint; None without one."""
    size = len(patients)
    for step in range(1, size):
        other = (position + step) % size
        if not patients[position] & patients[other]:
            return other
    return None
