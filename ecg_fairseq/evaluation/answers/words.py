"""Words of a text in any script.

Packages that split at everything but a to z and digits find no word in a Greek or Chinese text, and
score it 0. Here letters, digits and their marks make words; scripts that write no spaces between
words (Chinese, Japanese, Thai and their neighbors) are split by character.
"""

import unicodedata
from bisect import bisect

# First and last character of blocks without spaces between words, in order: Thai and Lao, Myanmar,
# Khmer, kana and Han with their radicals and forms, and Han beyond the first plane.
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x20000, 0x3FFFF),
)
_FIRSTS = [first for first, _ in _UNSPACED]


def is_unspaced(character: str) -> bool:
    """Return whether a character is of a script that writes no spaces between words."""
    place = bisect(_FIRSTS, ord(character)) - 1
    return place >= 0 and ord(character) <= _UNSPACED[place][1]


def words_of(text: str) -> list[str]:
    r"""Return the words of a text, lower-cased and composed (NFC).

    Of plain English the same as rouge-score finds: runs of letters and digits.

    >>> words_of("Rythme r\u00e9gulier, 72/min: \u7aa6\u6027")
    ['rythme', 'régulier', '72', 'min', '窦', '性']
    """
    words: list[str] = []
    can_grow = can_take_marks = False
    for character in unicodedata.normalize("NFC", text.lower()):
        kind = unicodedata.category(character)[0]
        if kind in "LN" and can_grow and not is_unspaced(character):
            words[-1] += character
        elif kind in "LN":
            words.append(character)
            can_grow, can_take_marks = not is_unspaced(character), True
        elif kind == "M" and can_take_marks:
            words[-1] += character
        else:
            can_grow = can_take_marks = False
    return words
