"""How simulated reports word their statements, in English and German, in PTB-XL's manner.

A wording says one statement or several at once. Names of statements are those of
``questions/ptb_xl_statements.py``, ``left axis deviation`` and ``normal ecg``. No wording holds a
full stop, comma or semicolon, and none is two others joined by a word of ``JOINERS``.
"""

from dataclasses import dataclass

from ecg_fairseq.records.questions.ptb_xl_statements import ALL_NAMES, AXIS_NAMES

NORMAL_ECG = "normal ecg"
LEFT_AXIS = AXIS_NAMES["LAD"]
# Words that join statements inside a sentence; the first of each language is used in writing.
JOINERS = {"english": ("with", "and"), "german": ("mit", "und")}
LANGUAGES = tuple(JOINERS)


@dataclass(frozen=True)
class Wordings:
    """Equal ways to say the same statements.

    Attributes:
        statements: what is said.
        english, german: at least one wording each.
    """

    statements: tuple[str, ...]
    english: tuple[str, ...]
    german: tuple[str, ...]

    def of(self, language: str) -> tuple[str, ...]:
        """Return the wordings of a language of ``LANGUAGES``."""
        return self.english if language == "english" else self.german


def _named(code: str, english: tuple[str, ...], german: tuple[str, ...]) -> Wordings:
    """Return wordings of one SCP statement; its plain name is one of them."""
    return Wordings((ALL_NAMES[code],), (ALL_NAMES[code], *english), german)


WORDINGS = (
    _named(
        "SR",
        ("normal sinus rhythm", "regular sinus rhythm", "sr"),
        ("sinusrhythmus", "normaler sinusrhythmus"),
    ),
    _named(
        "SBRAD",
        ("slow sinus rhythm", "bradycardic sinus rhythm"),
        ("sinusbradykardie", "bradykarder sinusrhythmus"),
    ),
    _named(
        "STACH",
        ("fast sinus rhythm", "tachycardic sinus rhythm"),
        ("sinustachykardie", "tachykarder sinusrhythmus"),
    ),
    _named(
        "AFIB",
        ("irregular rhythm in atrial fibrillation", "absolute arrhythmia in atrial fibrillation"),
        ("vorhofflimmern", "absolute arrhythmie bei vorhofflimmern"),
    ),
    _named(
        "CLBBB",
        ("left bundle branch block", "complete left bundle block", "lbbb"),
        ("linksschenkelblock", "kompletter linksschenkelblock"),
    ),
    _named(
        "CRBBB",
        ("right bundle branch block", "complete right bundle block", "rbbb"),
        ("rechtsschenkelblock", "kompletter rechtsschenkelblock"),
    ),
    _named(
        "1AVB",
        ("1st degree av block", "av block i", "first degree atrioventricular block"),
        ("av-block i", "av-block ersten grades"),
    ),
    _named(
        "LVH",
        ("lvh", "hypertrophy of the left ventricle", "signs of left ventricular hypertrophy"),
        ("linkshypertrophie", "zeichen der linkshypertrophie"),
    ),
    _named(
        "LVOLT",
        ("low voltage", "low qrs voltage in all leads", "generally low voltages"),
        ("niederspannung", "allgemeine niederspannung"),
    ),
    _named(
        "STE_",
        ("st elevation", "raised st segments", "elevated st segments"),
        ("st-hebung", "st-strecken gehoben"),
    ),
    _named(
        "STD_",
        ("st depression", "lowered st segments", "depressed st segments"),
        ("st-senkung", "st-strecken gesenkt"),
    ),
    _named(
        "INVT",
        ("t wave inversion", "negative t waves", "inverted t waves"),
        ("t-negativierung", "negative t-wellen"),
    ),
    _named(
        "PVC",
        ("ventricular extrasystoles", "premature ventricular beats", "pvcs"),
        ("ventrikulaere extrasystolen", "ves"),
    ),
    _named(
        "AMI",
        ("anterior infarct", "anterior myocardial infarction", "infarct of the anterior wall"),
        ("vorderwandinfarkt", "infarkt der vorderwand"),
    ),
    _named(
        "IMI",
        ("inferior infarct", "inferior myocardial infarction", "infarct of the inferior wall"),
        ("hinterwandinfarkt", "infarkt der hinterwand"),
    ),
    Wordings(
        (ALL_NAMES["AMI"], ALL_NAMES["STE_"]),
        ("anterior st elevation infarct", "acute anterior infarct showing raised st segments"),
        ("st-hebungsinfarkt der vorderwand",),
    ),
    Wordings(
        (ALL_NAMES["IMI"], ALL_NAMES["STE_"]),
        ("inferior st elevation infarct", "acute inferior infarct showing raised st segments"),
        ("st-hebungsinfarkt der hinterwand",),
    ),
    Wordings(
        (LEFT_AXIS,),
        (LEFT_AXIS, "left axis", "axis turned to the left", "lad"),
        ("linkstyp", "ueberdrehter linkstyp"),
    ),
    Wordings(
        (NORMAL_ECG,),
        (NORMAL_ECG, "ecg within normal limits", "no abnormality"),
        ("normales ekg", "unauffaelliges ekg"),
    ),
)
