"""Brings a report into the spelling of the labeler's tables (fact sheet ecg-fm 6, stage 1).

In this order: what another reader or an earlier ECG says is cut off; acronyms that capitals tell
from words; lower case; single words (``word_rules.py``); lists of leads; word order
(``sentence_rules.py``).
"""

import functools
import re
from collections.abc import Callable, Sequence

from ecg_fairseq.records.reports.phrases import MARKS, replace_phrase
from ecg_fairseq.records.reports.sentence_rules import sentence_replacers
from ecg_fairseq.records.reports.word_rules import WORD_RULES

_IGNORE_CASE = re.IGNORECASE
_CUT = re.compile(
    r"(?:also |re)?confirmed by|compared to the ecg performed"
    r"|(?:(?:no significant change )?when )?compared to the previous ecg",
    _IGNORE_CASE,
)
Rule = tuple[re.Pattern[str], str]


def _rules(*pairs: tuple[str, str], flags: int = 0) -> list[Rule]:
    return [(re.compile(pattern, flags), replacement) for pattern, replacement in pairs]


_BY_CAPITALS = _rules(
    (r"\bAT\b", "atrial tachycardia"),
    (r"\bEAT\b", "ectopic atrial tachycardia"),
    (r"\bAVR\b", "accelerated ventricular rhythm"),  # the lead is written aVR
    (r"\b(PAC|APB|APC|PVC|VPB|PSC|SVPB|PJC|ECG)'s\b", r"\1s"),
)
_ANY_CASE = _rules(
    (r"SA block|sinus exit[ -]block|2:1 SA exit block|sinoatrial (?:exit )?block", "sinus block"),
    (r"failure to (ventricular|atrial) capture", r"loss of \1 capture"),
    (
        r"(?:pacemaker )?failure to sense(?:/| and/or | / | and )(?:capture|pace)"
        r"(?: by the pacemaker)?",
        "loss of sensing; loss of capture",
    ),
    (r"(?:with |pacer )?failure to capture|\(failure to capture\)", "loss of capture"),
    (r"failure to track P waves", "loss of atrial sensing"),
    (r"(?:with |pacer )?failure to sense(?: intrinsic beats)?", "loss of sensing"),
    (r"failure of (?:pacemaker )?sensing and capture", "loss of sensing; loss of capture"),
    (r"failure of (ventricular )?(?:pacemaker )?capture", r"loss of \1capture"),
    (r"failure of V sensing", "loss of ventricular sensing"),
    (r"failure of sensing(?: by pacemaker)?", "loss of sensing"),
    flags=_IGNORE_CASE,
)
_LOWER_CASE = _rules(
    (r" (normal|abnormal|borderline)$", r" \1 ecg"),
    (r"`", " "),
    (r"\s*/\s*", "/"),
    (r"\b([a-z])\s?-?\s?wave(s?)\b", r"\1 wave\2"),
    (r"([a-z])wave", r"\1 wave"),
    (r"&", " and "),
    (r"\s+", " "),
    (r"\bdeg\b", "degree"),
    # Parts of words.
    (r"-(nodal|degree) ", r" \1 "),
    (r"fasicular|fasicuar", "fascicular"),
    (r"artefact|artifactual", "artifact"),
    (r"seotal|septai", "septal"),
    (r"abber", "aber"),
    (r"aber+[ae]n", "aberran"),
)
_AFTER_WORDS = _rules(
    (r"-?\s?-?\s?\?\s?age", " ? age "),
    (r"^\?", "<before?> "),
    (r"-?-\?", " <after?> "),
    (r",(\S)", r", \1"),
    (r"\s+", " "),
    (r"beat\(s\)", "beats"),
    (r"for age/sex", ""),
    (r"are probably related to|may be related to", "conceivably related to"),
    (r"repeat if myocardial injury is suspected", ""),
    (r"interpretation made without (?:knowing|knowledge of) patient's age", ""),
)
_LEAD = r"\b(?:i{1,3}|avr|avl|avf|v[1-6])\b"
_LEADS = rf"({_LEAD}(?:[ ,]*{_LEAD})*)"
# A list of leads becomes one statement for each.
_LEAD_LISTS = _rules(
    (rf"lead\(s\) unsuitable for analysis: {_LEADS}", "lead <lead> unsuitable for analysis"),
    (rf"partial missing lead\(s\): {_LEADS}", "partial missing lead <lead>"),
    (rf"missing lead\(s\): {_LEADS}", "missing lead <lead>"),
    (rf"artifact in lead\(s\) {_LEADS}", "artifact in lead <lead>"),
    (rf"baseline wander in lead\(s\) {_LEADS}", "baseline wander in lead <lead>"),
    (
        rf"lead\(s\) {_LEADS} were not used for morphology analysis",
        "lead <lead> not used for morphology analysis",
    ),
    (
        rf"possible sequence error: {_LEADS} omitted",
        "lead <lead> omitted due to possible sequence error",
    ),
    (rf"sequence error: {_LEADS} omitted", "lead <lead> omitted due to sequence error"),
)
_AFTER_LEADS = _rules(
    (r"supra(?:- | -|-| )ventricular", "supraventricular"),
    (r"intra(?:- | -|-| )ventricular", "intraventricular"),
    (r"(intra|inter)(?:- | -|-| )atrial", r"\1atrial"),
    (r"\*", " "),
    (r"\bv-\s*(\w\w+)", r"ventricular \1"),
    (r"\ba-\s*(\w\w+)", r"atrial \1"),
    (r"bundle(?! branch)", "bundle branch"),
    (r"-(sensing|pacing)", r" \1"),
)


class Normalizer:
    """Brings texts into one spelling.

    Args:
        replacements: further words and what stands for them, applied before all others.
    """

    def __init__(self, replacements: Sequence[tuple[str, str]] = ()) -> None:
        rules = [(word, text) for words, text in WORD_RULES for word in words.split("|")]
        self._words = [*replacements, *rules]
        self._first_words = {
            re.findall(r"\w+", word)[0] for word, _ in self._words if re.search(r"\w", word)
        }
        self._others = [word for word, _ in self._words if not re.search(r"\w", word)]
        self._sentences = _shared_replacers()

    def __call__(self, text: str) -> str:
        """Return the text in one spelling; lower case, single blanks."""
        cut = _CUT.search(text)
        text = MARKS.sub(" ", text if cut is None else text[: cut.start()]).strip()
        text = _applied(_ANY_CASE, _applied(_BY_CAPITALS, text)).lower()
        text = self._replace_words(_applied(_LOWER_CASE, text))
        text = _applied(_AFTER_WORDS, text)
        if "lead(s)" in text or "sequence error:" in text:
            text = _list_leads(text)
        text = _applied(_AFTER_LEADS, text)
        for replace in self._sentences:
            text = replace(text)
        return text.strip()

    def _replace_words(self, text: str) -> str:
        words = set(re.findall(r"\w+", text))
        if self._first_words.isdisjoint(words) and not any(word in text for word in self._others):
            return text
        for word, replacement in self._words:
            if word in text:
                text = replace_phrase(text, word, replacement)
        return text


@functools.cache
def _shared_replacers() -> list[Callable[[str], str]]:
    return list(sentence_replacers())


def _applied(rules: Sequence[Rule], text: str) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def _list_leads(text: str) -> str:
    """Write one statement for each lead of a list."""

    def spelled_out(match: re.Match[str], form: str) -> str:
        leads = re.findall(_LEAD, match[1])
        return "; ".join(form.replace("<lead>", lead) for lead in leads)

    for pattern, form in _LEAD_LISTS:
        text = pattern.sub(functools.partial(spelled_out, form=form), text)
    return text
