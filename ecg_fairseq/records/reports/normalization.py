"""Brings a report into the spelling of the labeler's tables (fact sheet ecg-fm 6, stage 1).

In this order: what another reader or an earlier ECG says is cut off; acronyms that capitals tell
from words; lower case; single words (``word_rules.py``); lists of leads; word order
(``sentence_rules.py``).
"""

import functools
import re
from collections.abc import Sequence

from ecg_fairseq.records.reports.phrases import (
    MARKS,
    WORD,
    PhraseMatcher,
    PhraseReplacer,
    replace_phrase,
)
from ecg_fairseq.records.reports.sentence_rules import sentence_replacers
from ecg_fairseq.records.reports.word_rules import WORD_RULES

_IGNORE_CASE = re.IGNORECASE
_BLANKS = re.compile(r"\s+")
_CUT = re.compile(
    r"(?:also |re)?confirmed by|compared to the ecg performed"
    r"|(?:(?:no significant change )?when )?compared to the previous ecg",
    _IGNORE_CASE,
)
# Texts without the first part, in lower case, cannot match: looking for it is quick.
Rule = tuple[str, re.Pattern[str], str]


def _rules(*rules: tuple[str, str, str], flags: int = 0) -> list[Rule]:
    return [(hint, re.compile(pattern, flags), written) for hint, pattern, written in rules]


_BY_CAPITALS = _rules(
    ("AT", r"\bAT\b", "atrial tachycardia"),
    ("EAT", r"\bEAT\b", "ectopic atrial tachycardia"),
    ("AVR", r"\bAVR\b", "accelerated ventricular rhythm"),  # the lead is written aVR
    ("'s", r"\b(PAC|APB|APC|PVC|VPB|PSC|SVPB|PJC|ECG)'s\b", r"\1s"),
)
_SINUS_BLOCK = re.compile(
    r"SA block|sinus exit[ -]block|2:1 SA exit block|sinoatrial (?:exit )?block", _IGNORE_CASE
)
_SINUS_BLOCK_HINTS = ("sa block", "sinus exit", "sa exit", "sinoatrial")
_FAILURES = _rules(
    ("", r"failure to (ventricular|atrial) capture", r"loss of \1 capture"),
    (
        "",
        r"(?:pacemaker )?failure to sense(?:/| and/or | / | and )(?:capture|pace)"
        r"(?: by the pacemaker)?",
        "loss of sensing; loss of capture",
    ),
    ("", r"(?:with |pacer )?failure to capture|\(failure to capture\)", "loss of capture"),
    ("", r"failure to track P waves", "loss of atrial sensing"),
    ("", r"(?:with |pacer )?failure to sense(?: intrinsic beats)?", "loss of sensing"),
    ("", r"failure of (?:pacemaker )?sensing and capture", "loss of sensing; loss of capture"),
    ("", r"failure of (ventricular )?(?:pacemaker )?capture", r"loss of \1capture"),
    ("", r"failure of V sensing", "loss of ventricular sensing"),
    ("", r"failure of sensing(?: by pacemaker)?", "loss of sensing"),
    flags=_IGNORE_CASE,
)
_LOWER_CASE = _rules(
    ("", r" (normal|abnormal|borderline)$", r" \1 ecg"),
    ("`", r"`", " "),
    ("/", r"\s*/\s*", "/"),
    ("wave", r"\b([a-z])\s?-?\s?wave(s?)\b", r"\1 wave\2"),
    ("wave", r"([a-z])wave", r"\1 wave"),
    ("&", r"&", " and "),
    ("deg", r"\bdeg\b", "degree"),
    # Parts of words.
    ("-", r"-(nodal|degree) ", r" \1 "),
    ("fasic", r"fasicular|fasicuar", "fascicular"),
    ("art", r"artefact|artifactual", "artifact"),
    ("se", r"seotal|septai", "septal"),
    ("abber", r"abber", "aber"),
    ("aber", r"aber+[ae]n", "aberran"),
)
_AFTER_WORDS = _rules(
    ("?", r"-?\s?-?\s?\?\s?age", " ? age "),
    ("?", r"^\?", "<before?> "),
    ("?", r"-?-\?", " <after?> "),
    (",", r",(\S)", r", \1"),
)
# What these leave behind is not brought to single blanks, as published.
_SAYINGS = _rules(
    ("(s)", r"beat\(s\)", "beats"),
    ("for age/sex", r"for age/sex", ""),
    ("related to", r"are probably related to|may be related to", "conceivably related to"),
    ("suspected", r"repeat if myocardial injury is suspected", ""),
    ("without", r"interpretation made without (?:knowing|knowledge of) patient's age", ""),
)
_LEAD = r"\b(?:i{1,3}|avr|avl|avf|v[1-6])\b"
_LEADS = rf"({_LEAD}(?:[ ,]*{_LEAD})*)"
# A list of leads becomes one statement for each.
_LEAD_LISTS = [
    (re.compile(pattern), form)
    for pattern, form in (
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
]
_AFTER_LEADS = _rules(
    ("supra", r"supra(?:- | -|-| )ventricular", "supraventricular"),
    ("intra", r"intra(?:- | -|-| )ventricular", "intraventricular"),
    ("atrial", r"(intra|inter)(?:- | -|-| )atrial", r"\1atrial"),
    ("*", r"\*", " "),
    ("v-", r"\bv-\s*(\w\w+)", r"ventricular \1"),
    ("a-", r"\ba-\s*(\w\w+)", r"atrial \1"),
    ("bundle", r"bundle(?! branch)", "bundle branch"),
    ("-", r"-(sensing|pacing)", r" \1"),
)


class Normalizer:
    """Brings texts into one spelling.

    Args:
        replacements: further words and what stands for them, applied before all others.
    """

    def __init__(self, replacements: Sequence[tuple[str, str]] = ()) -> None:
        own = [(word, text) for words, text in WORD_RULES for word in words.split("|")]
        rules: dict[str, str] = {}
        for word, text in [*replacements, *own]:
            rules.setdefault(word, text)
        self._words = PhraseMatcher([rules], is_ranked=True)
        self._written = list(rules.values())
        self._sentences = _shared_replacers()

    def __call__(self, text: str) -> str:
        """Return the text in one spelling; lower case, single blanks."""
        lower = text.lower()
        if "confirmed by" in lower or "compared to the" in lower:
            text = text[: cut.start()] if (cut := _CUT.search(text)) else text
        text = _applied(_BY_CAPITALS, MARKS.sub(" ", text).strip())
        if any(words in lower for words in _SINUS_BLOCK_HINTS):
            text = _SINUS_BLOCK.sub("sinus block", text)
        if "failure" in lower:
            text = _applied(_FAILURES, text)
        text = self._replace_words(_single_blanks(_applied(_LOWER_CASE, text.lower())))
        text = _applied(_SAYINGS, _single_blanks(_applied(_AFTER_WORDS, text)))
        if "lead(s)" in text or "sequence error:" in text:
            text = _list_leads(text)
        text = _applied(_AFTER_LEADS, text)
        words = set(WORD.findall(text))
        for replace in self._sentences:
            replaced = replace(text, words)
            if replaced is not text:
                text, words = replaced, set(WORD.findall(replaced))
        return text.strip()

    def _replace_words(self, text: str) -> str:
        """Apply the rules in their order, each to what those before have made."""
        place = -1
        ranks = self._words.candidates(text, set(WORD.findall(text)))
        while ranks:
            rank = next((later for later in ranks if later > place), None)
            if rank is None:
                break
            place = rank
            replaced = replace_phrase(text, self._words.phrases[rank], self._written[rank])
            if replaced is not text:
                text = replaced
                ranks = self._words.candidates(text, set(WORD.findall(text)))
        return text


@functools.cache
def _shared_replacers() -> list[PhraseReplacer]:
    return sentence_replacers()


def _applied(rules: Sequence[Rule], text: str) -> str:
    for hint, pattern, written in rules:
        if hint in text:
            text = pattern.sub(written, text)
    return text


def _single_blanks(text: str) -> str:
    """Replace each run of white space by one blank; it may stand at either end."""
    joined = " ".join(text.split())
    return joined if text.strip() == text else _BLANKS.sub(" ", text)


def _list_leads(text: str) -> str:
    """Write one statement for each lead of a list."""

    def spelled_out(match: re.Match[str], form: str) -> str:
        leads = re.findall(_LEAD, match[1])
        return "; ".join(form.replace("<lead>", lead) for lead in leads)

    for pattern, form in _LEAD_LISTS:
        text = pattern.sub(functools.partial(spelled_out, form=form), text)
    return text
