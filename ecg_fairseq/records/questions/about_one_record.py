"""Questions about one recording: for each template and attribute, the answer of every record."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ecg_fairseq.records.questions.ptb_xl_statements import (
    ALL_NAMES,
    AXIS_NAMES,
    CERTAIN_LIKELIHOOD,
    CONDUCTION_NAMES,
    DIAGNOSTIC_NAMES,
    FORM_NAMES,
    INFARCTION_PLACES,
    NOISE_COLUMNS,
    RHYTHM_NAMES,
    WITHIN,
    LabelledRecord,
)
from ecg_fairseq.records.questions.question import EMPTY_ANSWER
from ecg_fairseq.records.questions.templates import (
    SINGLE_CHOOSE,
    SINGLE_QUERY,
    SINGLE_VERIFY,
    TEMPLATES,
    Template,
)

Answer = tuple[str, ...]
Source = tuple[int, ...]
AnswerOf = Callable[[LabelledRecord], Answer | None]

VERIFY_OPTIONS = ["no", "yes"]
_CHOICES = {
    4: [
        ("CLBBB", "CRBBB"),
        ("AMI", "IMI"),
        ("1AVB", "LVH"),
        ("LAFB", "IRBBB"),
        ("ASMI", "IMI"),
        ("ISC_", "LVH"),
    ],
    6: [("PVC", "STD_"), ("INVT", "LVOLT"), ("VCLVH", "LVOLT"), ("ABQRS", "NDT"), ("PVC", "PAC")],
    7: [("SBRAD", "STACH"), ("SR", "AFIB"), ("SARRH", "SBRAD")],
}
_VERIFIED_AXES = ("left axis deviation", "right axis deviation")
_VERIFIED_RANGES = {"rr interval": (WITHIN,)}


@dataclass(frozen=True)
class Asked:
    """One attribute of one template, with all answers that the labels give."""

    template: Template
    attribute: tuple[str, ...] | None
    sources: list[Source]
    answers: list[Answer]
    options: list[str] | None = None  # None: the union over the template


def _collect(
    number: int,
    attribute: tuple[str, ...] | None,
    records: Sequence[LabelledRecord],
    answer_of: AnswerOf,
    options: list[str] | None = None,
) -> Asked:
    """Ask one thing of every record; records that cannot answer (None) are left out."""
    answers = [answer_of(record) for record in records]
    known = [(index, answer) for index, answer in enumerate(answers) if answer is not None]
    return Asked(
        TEMPLATES[number],
        attribute,
        [(index,) for index, _ in known],
        [answer for _, answer in known],
        options,
    )


def single_questions(records: Sequence[LabelledRecord], wanted: set[str]) -> Iterable[Asked]:
    """Yield one group for each template and attribute of the ``wanted`` question types."""
    codes = sorted({code for record in records for code in record.scp_codes} & set(ALL_NAMES))
    if SINGLE_VERIFY in wanted:
        yield from _verify_questions(records, codes)
    if SINGLE_CHOOSE in wanted:
        yield from _choose_questions(records, set(codes))
    if SINGLE_QUERY in wanted:
        yield from _query_questions(records)


def _verify_questions(records: Sequence[LabelledRecord], codes: Sequence[str]) -> Iterable[Asked]:
    def listed(code: str) -> AnswerOf:
        def answer(record: LabelledRecord) -> Answer | None:
            if record.is_uncertain(code):
                return ("not sure",)
            return yes_or_no(record.has(code))

        return answer

    for code in codes:
        group = _collect(1, (ALL_NAMES[code],), records, listed(code))
        yield _with_verify_options(group)
    yield _collect(2, None, records, _abnormal, VERIFY_OPTIONS)
    for name in _VERIFIED_AXES:
        yield _collect(20, (name,), records, _axis_is(name), VERIFY_OPTIONS)
    for name in NOISE_COLUMNS.values():
        yield _collect(27, (name,), records, _noise_is(name), VERIFY_OPTIONS)
    for feature, ranges in _VERIFIED_RANGES.items():
        for place in ranges:
            answer_of = _feature_is(feature, place)
            yield _collect(39, (feature, place), records, answer_of, VERIFY_OPTIONS)


def _with_verify_options(group: Asked) -> Asked:
    """Offer "not sure" only where it is ever the answer."""
    options = sorted({*VERIFY_OPTIONS, *(name for answer in group.answers for name in answer)})
    return Asked(group.template, group.attribute, group.sources, group.answers, options)


def _choose_questions(records: Sequence[LabelledRecord], codes: set[str]) -> Iterable[Asked]:
    def present(pair: tuple[str, str]) -> AnswerOf:
        return lambda record: _present(record, pair, ALL_NAMES)

    for number, pairs in _CHOICES.items():
        for pair in pairs:
            if codes.issuperset(pair):
                names = (ALL_NAMES[pair[0]], ALL_NAMES[pair[1]])
                yield _collect(number, names, records, present(pair), [*names, EMPTY_ANSWER])


def _query_questions(records: Sequence[LabelledRecord]) -> Iterable[Asked]:
    def rhythm(record: LabelledRecord) -> Answer | None:
        return _present(record, RHYTHM_NAMES, RHYTHM_NAMES) if record.has_rhythm else None

    def axis(record: LabelledRecord) -> Answer | None:
        name = AXIS_NAMES.get(record.heart_axis)
        return None if name is None else (name,)

    def place(record: LabelledRecord) -> Answer | None:
        return _present(record, INFARCTION_PLACES, INFARCTION_PLACES)

    def feature_range(record: LabelledRecord) -> Answer | None:
        value = record.numeric_features.get("rr interval")
        return None if value is None else (value,)

    yield _collect(10, None, records, rhythm)
    yield _collect(11, None, records, lambda record: _present(record, FORM_NAMES, FORM_NAMES))
    yield _collect(22, None, records, axis)
    yield _collect(33, None, records, _noises(tuple(NOISE_COLUMNS.values())))
    yield _collect(41, ("rr interval",), records, feature_range)
    yield _collect(
        101, None, records, lambda record: _present(record, CONDUCTION_NAMES, CONDUCTION_NAMES)
    )
    yield _collect(102, None, records, place)


def yes_or_no(value: bool | None) -> Answer | None:
    """Return the answer of a verify question; None stays None."""
    return None if value is None else ("yes",) if value else ("no",)


def _present(
    record: LabelledRecord, codes: Iterable[str], names: Mapping[str, str]
) -> Answer | None:
    """Return the names of the statements that are present; None if one of them is in doubt."""
    found = []
    for code in codes:
        state = record.has(code)
        if state is None:
            return None
        if state:
            found.append(names[code])
    return tuple(sorted(set(found)))


def _abnormal(record: LabelledRecord) -> Answer | None:
    """No where the record is called normal, yes where a diagnosis or form statement is certain."""
    if record.scp_codes.get("NORM", 0.0) >= CERTAIN_LIKELIHOOD:
        return ("no",)
    others = [code for code in record.scp_codes if code in DIAGNOSTIC_NAMES or code in FORM_NAMES]
    return ("yes",) if any(record.has(code) for code in others) else None


def _axis_is(name: str) -> AnswerOf:
    def answer(record: LabelledRecord) -> Answer | None:
        found = AXIS_NAMES.get(record.heart_axis)
        return None if found is None else yes_or_no(found == name)

    return answer


def _noise_is(name: str) -> AnswerOf:
    return lambda record: None if record.noises is None else yes_or_no(name in record.noises)


def _noises(names: tuple[str, ...]) -> AnswerOf:
    def answer(record: LabelledRecord) -> Answer | None:
        return None if record.noises is None else tuple(sorted(record.noises & set(names)))

    return answer


def _feature_is(feature: str, place: str) -> AnswerOf:
    def answer(record: LabelledRecord) -> Answer | None:
        found = record.numeric_features.get(feature)
        return None if found is None else yes_or_no(found == place)

    return answer
