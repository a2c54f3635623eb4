"""The exact-match rules, in one place.

An answer is a set of items written as ``"a; b"``. Two answers match exactly when their sets are
equal after these steps, in this order:

1. letters and their accents are composed (Unicode NFC) and lower-cased;
2. full-width semicolons and full stops become plain ones, every run of white space one space;
3. white space at both ends and ONE final full stop are removed;
4. the text is split on ``";"``; items are stripped, empty ones dropped, order and repeats ignored.

Nothing else is forgiven: no synonyms, no word order inside an item, no partial credit. ``"none"``
is an ordinary item (ECG-QA's word for the empty set); an empty text is the empty set and matches
only another empty text, never ``"none"``.
"""

import re
import unicodedata
from collections.abc import Iterable

from ecg_fairseq.evaluation.answers.words import is_unspaced

_SPACE = re.compile(r"\s+")
# Full-width, small and half-width forms, and the full stop of Chinese and Japanese.
_PLAIN = str.maketrans(
    {
        "\N{FULLWIDTH SEMICOLON}": ";",
        "\N{SMALL SEMICOLON}": ";",
        "\N{FULLWIDTH FULL STOP}": ".",
        "\N{IDEOGRAPHIC FULL STOP}": ".",
        "\N{HALFWIDTH IDEOGRAPHIC FULL STOP}": ".",
    }
)


def normalize_text(text: str) -> str:
    """Return ``text`` after steps 1 to 3.

    >>> normalize_text("  Sinus   Rhythm. ")
    'sinus rhythm'
    """
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(_PLAIN)
    return _SPACE.sub(" ", text).strip().removesuffix(".").rstrip()


def answer_set(text: str) -> frozenset[str]:
    """Return the set of items of an answer (steps 1 to 4).

    >>> sorted(answer_set("V2; v1;"))
    ['v1', 'v2']
    """
    items = (item.strip() for item in normalize_text(text).split(";"))
    return frozenset(item for item in items if item)


def is_exact_match(answer: str, reference: str) -> bool:
    """Return whether two answers are equal as sets under the rules above."""
    return answer_set(answer) == answer_set(reference)


def options_in_text(text: str, options: Iterable[str]) -> frozenset[str]:
    """Return the options that a generated text names, normalised (closed-set reading of a query).

    Options are looked for as whole words, longest first, and the words of a found option are used
    up, so that ``"st elevation"`` is not found inside ``"anterior st elevation"``. Words between
    the options are ignored, as in ECG-QA's own baseline for language models (heartllm.md 9.5). An
    end of an option in a script without spaces between words is an end wherever it stands.

    >>> sorted(options_in_text("It shows V1 and lead v2.", ["v1", "v2", "v3"]))
    ['v1', 'v2']
    """
    wanted = sorted({normalize_text(option) for option in options} - {""}, key=_longest_first)
    if not wanted:
        return frozenset()
    pattern = "|".join(_as_pattern(option) for option in wanted)
    return frozenset(re.findall(pattern, normalize_text(text)))


def _as_pattern(option: str) -> str:
    first = "" if is_unspaced(option[0]) else r"(?<!\w)"
    last = "" if is_unspaced(option[-1]) else r"(?!\w)"
    return f"{first}{re.escape(option)}{last}"


def _longest_first(option: str) -> tuple[int, str]:
    return -len(option), option
