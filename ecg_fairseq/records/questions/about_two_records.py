"""Questions about two recordings: two visits of one patient, or two patients.

A pair cannot be asked about every finding without drowning the other questions: of all findings
that either recording could be asked about, a few are drawn for each pair.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from ecg_fairseq.records.questions.about_one_record import (
    VERIFY_OPTIONS,
    Answer,
    Asked,
    Source,
    yes_or_no,
)
from ecg_fairseq.records.questions.ptb_xl_statements import (
    ALL_NAMES,
    WITHIN,
    LabelledRecord,
)
from ecg_fairseq.records.questions.templates import (
    COMPARISONS,
    CONSECUTIVE,
    GONE,
    IRRELEVANT,
    NEW,
    STILL,
    Template,
)

_FINDINGS_PER_PAIR = 4
_PAIR_STREAM = {CONSECUTIVE: 101, IRRELEVANT: 102}
_CHANGES = (NEW, GONE, STILL)


def comparison_questions(
    records: Sequence[LabelledRecord], wanted: set[str], seed: int
) -> Iterable[Asked]:
    """Yield one group for each comparison template and attribute of the ``wanted`` types."""
    for kind in (CONSECUTIVE, IRRELEVANT):
        if not {f"{kind}-verify", f"{kind}-query"} & wanted:
            continue
        random = np.random.default_rng([seed, _PAIR_STREAM[kind]])
        if kind == CONSECUTIVE:
            pairs = _consecutive_pairs(records)
        else:
            pairs = _irrelevant_pairs(records, random)
        if f"{kind}-verify" in wanted:
            yield from _verify(records, pairs, kind, random)
        if f"{kind}-query" in wanted:
            yield from _query(records, pairs, kind)


def _consecutive_pairs(records: Sequence[LabelledRecord]) -> list[Source]:
    """Return each visit of a patient with the next one, in the order given."""
    last: dict[str, int] = {}
    pairs: list[Source] = []
    for index, record in enumerate(records):
        if record.patient_id in last:
            pairs.append((last[record.patient_id], index))
        last[record.patient_id] = index
    return pairs


def _irrelevant_pairs(
    records: Sequence[LabelledRecord], random: np.random.Generator
) -> list[Source]:
    """Return each record with one of another patient of the same split, drawn at random."""
    pairs: list[Source] = []
    for split in sorted({record.split for record in records}):
        rows = [index for index, record in enumerate(records) if record.split == split]
        order = random.permutation(rows).tolist()
        for position, index in enumerate(order):
            other = order[(position + 1) % len(order)]
            if records[index].patient_id != records[other].patient_id:
                pairs.append((index, other))
    return sorted(pairs)


def _verify(
    records: Sequence[LabelledRecord],
    pairs: Sequence[Source],
    kind: str,
    random: np.random.Generator,
) -> Iterable[Asked]:
    codes = sorted({code for record in records for code in record.scp_codes} & set(ALL_NAMES))
    groups: dict[tuple[str, str], tuple[list[Source], list[Answer]]] = {}
    for pair in pairs:
        before, after = records[pair[0]], records[pair[1]]
        # Findings of either recording first: two thirds of the draws, so that yes is not rare.
        listed = [code for code in codes if code in before.scp_codes or code in after.scp_codes]
        for number in range(min(_FINDINGS_PER_PAIR, len(codes))):
            pool = listed if listed and number % 3 else codes
            code = pool[int(random.integers(len(pool)))]
            change = _CHANGES[int(random.integers(len(_CHANGES)))]
            answer = yes_or_no(_changed(before.has(code), after.has(code), change))
            sources, answers = groups.setdefault((change, code), ([], []))
            if answer is not None and pair not in sources[-_FINDINGS_PER_PAIR:]:
                sources.append(pair)
                answers.append(answer)
    for change, code in sorted(groups, key=lambda key: (_CHANGES.index(key[0]), key[1])):
        template = COMPARISONS[kind, change][0]
        sources, answers = groups[change, code]
        yield Asked(template, (ALL_NAMES[code],), sources, answers, VERIFY_OPTIONS)


def _changed(before: bool | None, after: bool | None, change: str) -> bool | None:
    if before is None or after is None:
        return None
    if change == NEW:
        return after and not before
    if change == GONE:
        return before and not after
    return before and after


def _query(
    records: Sequence[LabelledRecord], pairs: Sequence[Source], kind: str
) -> Iterable[Asked]:
    findings = [_findings(record) for record in records]
    measured = [_abnormal_features(record) for record in records]
    for change in _CHANGES:
        _, of_findings, of_measurements = COMPARISONS[kind, change]
        yield _asked_of_pairs(of_findings, change, pairs, findings)
        yield _asked_of_pairs(of_measurements, change, pairs, measured)


def _asked_of_pairs(
    template: Template,
    change: str,
    pairs: Sequence[Source],
    facts: Sequence[frozenset[str] | None],
) -> Asked:
    sources: list[Source] = []
    answers: list[Answer] = []
    for first, second in pairs:
        before, after = facts[first], facts[second]
        if before is None or after is None:
            continue
        names = {NEW: after - before, GONE: before - after, STILL: before & after}[change]
        sources.append((first, second))
        answers.append(tuple(sorted(names)))
    return Asked(template, None, sources, answers)


def _findings(record: LabelledRecord) -> frozenset[str] | None:
    """Return the names of all present statements; None if any listed one is in doubt."""
    listed = [code for code in record.scp_codes if code in ALL_NAMES]
    if not record.has_rhythm or any(record.has(code) is None for code in listed):
        return None
    return frozenset(ALL_NAMES[code] for code in listed)


def _abnormal_features(record: LabelledRecord) -> frozenset[str] | None:
    """Return the measurements outside their normal range; None if nothing was measured."""
    if not record.numeric_features:
        return None
    return frozenset(
        feature for feature, place in record.numeric_features.items() if place != WITHIN
    )
