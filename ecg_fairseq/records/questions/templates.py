"""Templates of questions that labels can answer: numbers, types and our own wordings.

Numbers 1 to 70 are ECG-QA's for the same kind of question (fact sheet heartllm.md, section 9; the
wordings are ours); from 101 on they are templates that ECG-QA does not have. ``{a}`` and ``{b}``
stand for what is asked about.
"""

from dataclasses import dataclass

SINGLE_VERIFY, SINGLE_CHOOSE, SINGLE_QUERY = "single-verify", "single-choose", "single-query"
CONSECUTIVE, IRRELEVANT = "comparison_consecutive", "comparison_irrelevant"
QUESTION_TYPES = (
    SINGLE_VERIFY,
    SINGLE_CHOOSE,
    SINGLE_QUERY,
    f"{CONSECUTIVE}-verify",
    f"{CONSECUTIVE}-query",
    f"{IRRELEVANT}-verify",
    f"{IRRELEVANT}-query",
)
SINGLE_TYPES = QUESTION_TYPES[:3]


@dataclass(frozen=True)
class Template:
    """One way to ask; the first wording is the template style, the others are paraphrases."""

    template_id: int
    question_type: str
    attribute_type: str
    wordings: tuple[str, ...]

    def text(self, attribute: tuple[str, ...] | None, wording: int = 0) -> str:
        """Return the question with ``attribute`` filled in."""
        names = dict(zip("ab", attribute or (), strict=False))
        return self.wordings[wording].format(**names)


_SINGLE = (
    Template(
        1,
        SINGLE_VERIFY,
        "scp_code",
        (
            "Does this ECG show signs of {a}?",
            "Is there evidence of {a} on this ECG?",
            "Can {a} be seen in this recording?",
            "Would you report {a} for this ECG?",
        ),
    ),
    Template(
        2,
        SINGLE_VERIFY,
        "scp_code",
        (
            "Apart from its rate and rhythm, does this ECG show anything abnormal?",
            "Leaving rate and rhythm aside, is any finding of this ECG abnormal?",
            "Is there any abnormality on this ECG other than in rate or rhythm?",
        ),
    ),
    Template(
        4,
        SINGLE_CHOOSE,
        "scp_code",
        (
            "Which diagnosis does this ECG show, {a} or {b}?",
            "Of {a} and {b}, which does this ECG support?",
            "Does this recording point to {a} or to {b}?",
        ),
    ),
    Template(
        6,
        SINGLE_CHOOSE,
        "scp_code",
        (
            "Which change of form does this ECG show, {a} or {b}?",
            "Of {a} and {b}, which can be seen on this ECG?",
            "Is {a} or {b} visible in this recording?",
        ),
    ),
    Template(
        7,
        SINGLE_CHOOSE,
        "scp_code",
        (
            "Which rhythm does this ECG show, {a} or {b}?",
            "Is the rhythm of this ECG {a} or {b}?",
            "Of {a} and {b}, which describes the rhythm here?",
        ),
    ),
    Template(
        10,
        SINGLE_QUERY,
        "scp_code",
        (
            "What is the rhythm of this ECG?",
            "Which rhythm does this recording show?",
            "Name the rhythm seen on this ECG.",
        ),
    ),
    Template(
        11,
        SINGLE_QUERY,
        "scp_code",
        (
            "Which changes of form does this ECG show?",
            "List the form-related findings of this ECG.",
            "What form-related changes are visible in this recording?",
        ),
    ),
    Template(
        20,
        SINGLE_VERIFY,
        "heart_axis",
        (
            "Does this ECG show {a}?",
            "Is {a} present on this ECG?",
            "Do the limb leads of this recording indicate {a}?",
        ),
    ),
    Template(
        22,
        SINGLE_QUERY,
        "heart_axis",
        (
            "What is the direction of the heart axis on this ECG?",
            "How is the heart axis of this ECG to be described?",
            "Which heart axis do the limb leads show?",
        ),
    ),
    Template(
        27,
        SINGLE_VERIFY,
        "noise",
        (
            "Is this ECG disturbed by {a}?",
            "Does {a} affect this recording?",
            "Can {a} be found in any lead of this ECG?",
        ),
    ),
    Template(
        33,
        SINGLE_QUERY,
        "noise",
        (
            "Which kinds of noise does this ECG contain?",
            "What noise disturbs this recording?",
            "List the kinds of noise found on this ECG.",
        ),
    ),
    Template(
        39,
        SINGLE_VERIFY,
        "numeric_feature",
        (
            "Is the {a} of this ECG {b}?",
            "Does the {a} measured here lie {b}?",
            "Would you call the {a} of this recording {b}?",
        ),
    ),
    Template(
        41,
        SINGLE_QUERY,
        "numeric_feature",
        (
            "Where does the {a} of this ECG lie with respect to the normal range?",
            "How does the {a} of this recording compare with the normal range?",
            "Is the {a} here normal, too long or too short?",
        ),
    ),
    Template(
        101,
        SINGLE_QUERY,
        "scp_code",
        (
            "Which conduction disturbances does this ECG show?",
            "List the conduction disturbances of this ECG.",
            "What disturbs conduction in this recording?",
        ),
    ),
    Template(
        102,
        SINGLE_QUERY,
        "scp_code",
        (
            "In which leads does this ECG show a myocardial infarction?",
            "Where does this recording show signs of infarction?",
            "Which leads point to a myocardial infarction here?",
        ),
    ),
)

# What became of a finding between two recordings, with the wordings for verify and query.
NEW, GONE, STILL = "new", "gone", "still"
_VERIFY_WORDINGS = {
    NEW: (
        "Is {a} on the second ECG but not on the first?",
        "Compared with the first ECG, does the second show {a} for the first time?",
    ),
    GONE: (
        "Is {a} on the first ECG but no longer on the second?",
        "Compared with the first ECG, has {a} disappeared on the second?",
    ),
    STILL: (
        "Is {a} on the first ECG and still on the second?",
        "Do the first and the second ECG both show {a}?",
    ),
}
_QUERY_WORDINGS = {
    NEW: (
        "Which findings are on the second ECG but not on the first?",
        "What does the second ECG show that the first does not?",
    ),
    GONE: (
        "Which findings are on the first ECG but no longer on the second?",
        "What did the first ECG show that the second does not?",
    ),
    STILL: (
        "Which findings are on the first ECG and still on the second?",
        "What do the first and the second ECG both show?",
    ),
}
_NUMERIC_WORDINGS = {
    GONE: (
        "Which measurements were abnormal on the first ECG and are normal on the second?",
        "Between the first and the second ECG, which measurements have become normal?",
    ),
    NEW: (
        "Which measurements were normal on the first ECG and are abnormal on the second?",
        "Between the first and the second ECG, which measurements have become abnormal?",
    ),
    STILL: (
        "Which measurements are abnormal on the first and on the second ECG?",
        "Which measurements of the first ECG are still abnormal on the second?",
    ),
}
_VERIFY_IDS = {NEW: 43, GONE: 44, STILL: 45}
_QUERY_IDS = {NEW: 47, GONE: 48, STILL: 49}
_NUMERIC_IDS = {GONE: 54, NEW: 55, STILL: 56}
_IRRELEVANT_OFFSET = 14  # templates 57 to 70 ask the same of two different patients


def _comparison(kind: str, change: str) -> list[Template]:
    offset = _IRRELEVANT_OFFSET if kind == IRRELEVANT else 0
    verify, query = f"{kind}-verify", f"{kind}-query"
    return [
        Template(_VERIFY_IDS[change] + offset, verify, "scp_code", _VERIFY_WORDINGS[change]),
        Template(_QUERY_IDS[change] + offset, query, "scp_code", _QUERY_WORDINGS[change]),
        Template(
            _NUMERIC_IDS[change] + offset, query, "numeric_feature", _NUMERIC_WORDINGS[change]
        ),
    ]


TEMPLATES = {template.template_id: template for template in _SINGLE}
# (kind, change) -> templates of verify, query and query of measurements
COMPARISONS = {
    (kind, change): _comparison(kind, change)
    for kind in (CONSECUTIVE, IRRELEVANT)
    for change in (NEW, GONE, STILL)
}
