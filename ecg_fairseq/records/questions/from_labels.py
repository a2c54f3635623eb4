"""Questions from labels: the same builder for simulated and for real PTB-XL metadata.

Balance: within each template, attribute and split, every answer is cut to the count of the second
most frequent one, so that guessing the commonest answer pays little and its share is stable; an
attribute with one answer only is not asked. Everything is a pure function of records and seed.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.questions.about_one_record import Answer, Asked, single_questions
from ecg_fairseq.records.questions.about_two_records import comparison_questions
from ecg_fairseq.records.questions.ptb_xl_statements import (
    LabelledRecord,
    LabelledRow,
    as_labelled_record,
    labelled_record_from_row,
)
from ecg_fairseq.records.questions.question import EMPTY_ANSWER, STYLES, Question, canonical_answer
from ecg_fairseq.records.questions.templates import (
    QUESTION_TYPES,
    SINGLE_TYPES,
    Template,
)
from ecg_fairseq.records.record_row import SPLITS

__all__ = [
    "QUESTION_TYPES",
    "SINGLE_TYPES",
    "LabelledRecord",
    "build_questions",
    "build_split_questions",
    "labelled_record_from_row",
]


def build_questions(
    records: Sequence[LabelledRecord | LabelledRow],
    seed: int,
    types: Iterable[str] = QUESTION_TYPES,
    style: str = "template",
) -> list[Question]:
    """Build all questions that the labels of ``records`` can answer.

    Args:
        records: labelled records, or rows of a manifest, of all splits; a patient's records in
            order of time. Rows on no side are left out.
        seed: decides which of the superfluous questions are left out, and the paraphrases.
        types: question types wanted, of ``QUESTION_TYPES``.
        style: ``template`` or ``paraphrased``; both give the same samples in the same order.

    Returns:
        Questions, train then valid then test; ``record_ids`` tell the split.

    Raises:
        ManifestError: an unknown type, style or split, or a patient in two splits.
    """
    by_split = build_split_questions(records, seed, types, style)
    return [question for questions in by_split.values() for question in questions]


def build_split_questions(
    records: Sequence[LabelledRecord | LabelledRow],
    seed: int,
    types: Iterable[str] = QUESTION_TYPES,
    style: str = "template",
) -> dict[str, list[Question]]:
    """Do as :func:`build_questions`, keeping the splits apart: ``{"train": [...], ...}``."""
    wanted = set(types)
    labelled = [as_labelled_record(record) for record in records if record.split]
    _check(labelled, wanted, style)
    groups = list(single_questions(labelled, wanted))
    groups.extend(comparison_questions(labelled, wanted, seed))
    options = _template_options(groups)
    built: dict[str, list[Question]] = {split: [] for split in SPLITS}
    for group in groups:
        for split in SPLITS:
            random = _generator(seed, group, split)
            inside = [row for row, s in enumerate(group.sources) if labelled[s[0]].split == split]
            for row in _balanced([group.answers[i] for i in inside], random):
                wording = _wording(group.template, style, random)
                name = f"labels-{style}-{split}-{len(built[split]):07d}"
                built[split].append(
                    _question(name, group, inside[row], wording, style, labelled, options)
                )
    return built


def _check(records: Sequence[LabelledRecord], wanted: set[str], style: str) -> None:
    unknown = sorted(wanted - set(QUESTION_TYPES))
    if unknown or style not in STYLES:
        raise ManifestError(
            f"question types {unknown or sorted(wanted)}, style {style!r}; expected types of "
            f"{', '.join(QUESTION_TYPES)} and a style of {', '.join(STYLES)}"
        )
    split_of: dict[str, str] = {}
    for record in records:
        if record.split not in SPLITS:
            raise ManifestError(
                f"record {record.record_id}: split {record.split!r}; expected one of {SPLITS}"
            )
        if split_of.setdefault(record.patient_id, record.split) != record.split:
            raise ManifestError(
                f"patient {record.patient_id} has records in {split_of[record.patient_id]} and in "
                f"{record.split}; split by patient"
            )


def _generator(seed: int, group: Asked, split: str) -> np.random.Generator:
    key = f"{group.template.template_id}|{group.attribute}|{split}"
    return np.random.default_rng([seed, zlib.crc32(key.encode("utf-8"))])


def _balanced(answers: list[Answer], random: np.random.Generator) -> list[int]:
    """Return the rows to keep, in order: no answer more often than the second most frequent."""
    counts = Counter(answers).most_common(2)
    if len(counts) < 2:
        return []
    (most, _), (_, cap) = counts
    superfluous = [row for row, answer in enumerate(answers) if answer == most]
    dropped = set(random.permutation(len(superfluous))[cap:].tolist())
    gone = {superfluous[index] for index in dropped}
    return [row for row in range(len(answers)) if row not in gone]


def _wording(template: Template, style: str, random: np.random.Generator) -> int:
    # Drawn for either style, so that both leave the generator in the same state.
    paraphrase = 1 + int(random.integers(len(template.wordings) - 1))
    return paraphrase if style == "paraphrased" else 0


def _template_options(groups: Sequence[Asked]) -> dict[int, list[str]]:
    """Return, for each template, all names that occur in its answers."""
    names: dict[int, set[str]] = {}
    for group in groups:
        found = names.setdefault(group.template.template_id, set())
        found.update(name for answer in group.answers for name in (answer or (EMPTY_ANSWER,)))
    return {number: sorted(found) for number, found in names.items()}


def _question(
    name: str,
    group: Asked,
    row: int,
    wording: int,
    style: str,
    records: Sequence[LabelledRecord],
    options: dict[int, list[str]],
) -> Question:
    template, source = group.template, group.sources[row]
    return Question(
        id=name,
        question=template.text(group.attribute, wording),
        answer=canonical_answer(group.answers[row]),
        question_type=template.question_type,
        record_ids=[records[index].record_id for index in source],
        patient_ids=[records[index].patient_id for index in source],
        template_id=template.template_id,
        attribute_type=template.attribute_type,
        style=style,
        attribute=list(group.attribute) if group.attribute else None,
        options=list(group.options or options[template.template_id]),
        origin="labels",
    )
