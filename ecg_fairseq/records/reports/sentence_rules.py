"""Rules that join or reorder words: "ventricular paced rhythm" is "paced ventricular beat".

Each rule set is made of places (what may stand there, and what it becomes) and of forms (an order
of places, and the order that is written instead). A rule set is applied at once: the longest of its
phrases first, and what was written is not looked at again. Conventions: fact sheet ecg-fm 6,
stage 1.
"""

import itertools
import re
from collections.abc import Mapping, Sequence

from ecg_fairseq.records.reports.phrases import PhraseReplacer

Place = Mapping[str, str]
_NUMBER = re.compile(r"\[(\d+)\]")


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_DASHES = ("-", "- ", " -")
_CHAMBERS = {
    **_same("atrial", "ventricular", "biventricular", "atrioventricular", "dual-chamber"),
    **_same("vvi", "ddd", "aai", "atrioventricular sequential"),
    "a": "atrial",
    "v": "ventricular",
    "biv": "biventricular",
    "atrioventricular dual-paced": "atrioventricular sequential",
    "sequential atrioventricular": "atrioventricular sequential",
}
_PACING = dict.fromkeys(("pacing", "pace", "paced", "pacemaker", "pacemaker detected"), "pacing")
_PACED_BEAT = dict.fromkeys(("rhythm", "beat", "beats", "complex", "complexes", "pacemaker"), "")
_PACING_FORMS = {
    **{f"paced [0]{dash}[2]": "[0] pacing" for dash in (" ", *_DASHES)},
    **{f"[0]{dash}paced [2]": "[0] pacing" for dash in (" ", "-")},
    **{f"[0]{dash}[1]": "[0] pacing" for dash in (" ", *_DASHES)},
    **{f"[0]{dash}[1] rhythm": "[0] pacing" for dash in (" ", *_DASHES)},
    **{f"demand [0]{dash}[1]": "[0] pacing <demand pacing>" for dash in (" ", *_DASHES)},
}
_PACEMAKER = dict.fromkeys(
    ("electronic pacemaker", "pacemaker", "pacing", "paced"), "electronic pacemaker"
)
_PACEMAKER_TRACES = {
    **_same("spike", "spikes", "artifact", "artifacts", "malfunction", "malfunctions"),
    **dict.fromkeys(("beat", "beats", "complex", "complexes"), ""),
}
_WAVE_FORMS = {
    "[0] abnormality": "[0] wave abnormality",
    "[0] abnormalities": "[0] wave abnormalities",
    "[0] wave abnormality": "[0] wave abnormality",
    "[0] wave abnormalities": "[0] wave abnormalities",
    "abnormal [0]": "[0] wave abnormality",
    "abnormal [0] wave": "[0] wave abnormality",
    "abnormal [0] waves": "[0] wave abnormalities",
    "[0] changes": "[0] wave changes",
    "[0] change": "[0] wave changes",
}
_ATRIAL = _same("flutter", "fibrillation", "tachycardia", "capture", "sensing")
_AFTER = dict.fromkeys((", ", "-", "- ", " -", " - "), ", ")
_HOW_SURE = {
    **dict.fromkeys(("probably", "probable", "most probably"), "probably"),
    **dict.fromkeys(("possibly", "possible"), "possibly"),
}
_AFTERTHOUGHTS = _same(
    *("normal", "abnormal", "borderline", "acute", "biventricular"),
    *("accelerated", "recent", "old", "rate-related"),
)
_ORIGINS = _same("ventricular", "supraventricular", "atrial", "junctional")
_BEATS = {
    **dict.fromkeys(("contraction", "complex", "beat", "depolarization"), "beat"),
    **dict.fromkeys(("contractions", "complexes", "beats", "depolarizations"), "beats"),
    **dict.fromkeys(("rhythm", "arrhythmia"), "rhythm"),
}
_LENGTHS_BEFORE = {
    **dict.fromkeys(("prolonged", "long", "prolongation of", "prolongation of the"), "prolonged"),
    **dict.fromkeys(("short", "shortening of"), "short"),
}
_LENGTHS_AFTER = {
    **dict.fromkeys(
        ("prolonged", "prolongation", "has lengthened", "appears prolonged", "is prolonged"),
        "prolonged",
    ),
    **dict.fromkeys(("appears long", "is long"), "prolonged"),
    **dict.fromkeys(("short", "shortening", "has shortened", "appears short"), "short"),
    "is short": "short",
}
_INTERVALS = {**_same("qt", "pr", "qtu"), "qtc": "qt"}

# In the order in which they are applied: places, and form -> form that is written. The numbers of a
# form name places, those of what is written count the places of the form.
RULE_SETS: tuple[tuple[Sequence[Place], Mapping[str, str]], ...] = (
    ((_CHAMBERS, _PACING, _PACED_BEAT), _PACING_FORMS),
    ((_PACEMAKER, _PACEMAKER_TRACES), {"[0] [1]": "[0] [1]"}),
    ((_same("t", "st", "st-t", "r"),), _WAVE_FORMS),
    (
        (_ATRIAL,),
        {f"atrial [0]{between}[0]": "atrial [0] atrial [1]" for between in ("/", " or ", " ", "-")},
    ),
    ((_AFTER, _HOW_SURE, _AFTERTHOUGHTS), {"[0][1] [2]": "[0][1] [2]", "[0][2]": "[0][1]"}),
    (
        (_ORIGINS, _BEATS),
        {
            "premature [0] [1]": "premature [0] [1]",
            "[0] premature [1]": "premature [0] [1]",
            "[0] prematures": "premature [0] beats",
            "premature [1]": "premature [0]",
        },
    ),
    (
        ({**_ORIGINS, "idioventricular": "idioventricular"}, _BEATS),
        {
            "ectopic [0] [1]": "ectopic [0] [1]",
            "[0] ectopic [1]": "ectopic [0] [1]",
            "[0] ectopics": "ectopic [0] beats",
            "[0] ectopy": "ectopic [0] beats",
            "ectopic [1]": "ectopic [0]",
            "[0] [1]": "[0] [1]",
        },
    ),
    (
        (_LENGTHS_BEFORE, _LENGTHS_AFTER, _INTERVALS),
        {"[0] [2]": "[0] [1]", "[2] [1]": "[1] [0]"},
    ),
)


def sentence_replacers() -> list[PhraseReplacer]:
    """Return what applies the rule sets, in their order."""
    return [PhraseReplacer(_spelled_out(*rules)) for rules in RULE_SETS]


def _spelled_out(places: Sequence[Place], forms: Mapping[str, str]) -> dict[str, str]:
    """Return every phrase that a rule set knows, and what is written instead."""
    replacements: dict[str, str] = {}
    for form, written in forms.items():
        numbers = [int(number) for number in _NUMBER.findall(form)]
        for words in itertools.product(*(places[number] for number in numbers)):
            phrase, text = form, written
            for count, (number, word) in enumerate(zip(numbers, words, strict=True)):
                phrase = phrase.replace(f"[{number}]", word, 1)
                text = text.replace(f"[{count}]", places[number][word])
            replacements.setdefault(phrase, text)
    return replacements
