"""Finds phrases in a text, each word used once: the longest phrase first, wherever it stands.

A found phrase is replaced by one character of a private-use plane, so that the order of phrases is
kept and no text is matched twice. That is what ECG-FM's labeler does (fact sheet ecg-fm 6, stage
2), phrase after phrase over all texts; here only the phrases whose rarest word stands in the text
are looked for. Both give the same matches.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

_FIRST_MARK = 0xF0000  # supplementary private-use area A
_MOST_PHRASES = 0xFFFD
WORD = re.compile(r"\w+")
MARKS = re.compile("[\U000f0000-\U000ffffd]")


def replace_phrase(text: str, phrase: str, replacement: str) -> str:
    """Replace ``phrase`` where it does not begin or end inside a word.

    >>> replace_phrase("av block, lav", "av", "atrioventricular")
    'atrioventricular block, lav'
    """
    found = text.find(phrase)
    if found < 0:
        return text
    is_bound_before, is_bound_after = phrase[0].isalnum(), phrase[-1].isalnum()
    parts, done = [], 0
    while found >= 0:
        end = found + len(phrase)
        inside = (is_bound_before and found > 0 and _is_word(text[found - 1])) or (
            is_bound_after and end < len(text) and _is_word(text[end])
        )
        if inside:
            found = text.find(phrase, found + 1)
            continue
        parts += [text[done:found], replacement]
        done = end
        found = text.find(phrase, end)
    return "".join([*parts, text[done:]]) if parts else text


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


class PhraseMatcher:
    """Finds phrases of several batches: those of an earlier batch win, then the longer ones.

    Args:
        batches: phrases in the order of their rank; equally long ones as they are given.
        is_ranked: the phrases of a batch stand in the order of their rank, whatever their length.

    Raises:
        ValueError: a phrase is empty or stands twice, or there are too many.
    """

    def __init__(self, batches: Sequence[Iterable[str]], is_ranked: bool = False) -> None:
        self.phrases: list[str] = []
        for batch in batches:
            self.phrases += batch if is_ranked else sorted(batch, key=len, reverse=True)
        if len(self.phrases) > _MOST_PHRASES or not all(self.phrases):
            raise ValueError(f"{len(self.phrases)} phrases: too many, or one of them is empty")
        if len(set(self.phrases)) < len(self.phrases):
            raise ValueError("a phrase stands twice")
        words = [set(WORD.findall(phrase)) for phrase in self.phrases]
        counts = Counter(word for found in words for word in found)
        self._by_word: dict[str, list[int]] = {}
        self._without_word: list[int] = []
        for rank, found in enumerate(words):
            if found:
                rarest = min(found, key=lambda word: (counts[word], word))
                self._by_word.setdefault(rarest, []).append(rank)
            else:
                self._without_word.append(rank)

    def mark(self, text: str, words: AbstractSet[str]) -> str:
        """Return the text with each found phrase replaced by its mark.

        Args:
            text: any text.
            words: those of the text.
        """
        if not self._without_word and self._by_word.keys().isdisjoint(words):
            return text
        for rank in self.candidates(text, words):
            text = replace_phrase(text, self.phrases[rank], chr(_FIRST_MARK + rank))
        return text

    def candidates(self, text: str, words: AbstractSet[str]) -> list[int]:
        """Return, in order, the ranks of phrases that may stand in a text of these words."""
        phrases, by_word = self.phrases, self._by_word
        ranks = [rank for rank in self._without_word if phrases[rank] in text]
        for word in words:
            if word in by_word:
                ranks += [rank for rank in by_word[word] if phrases[rank] in text]
        ranks.sort()
        return ranks

    @staticmethod
    def rank_of(mark: str) -> int:
        """Return the place in :attr:`phrases` of what a mark stands for."""
        return ord(mark) - _FIRST_MARK


class PhraseReplacer:
    """Replaces phrases by others, all at once: what was put in is not looked at again."""

    def __init__(self, replacements: dict[str, str]) -> None:
        self._matcher = PhraseMatcher([replacements])
        self._by_rank = [replacements[phrase] for phrase in self._matcher.phrases]

    def __call__(self, text: str, words: AbstractSet[str]) -> str:
        """Return the text with the phrases replaced; the same object where there are none."""
        marked = self._matcher.mark(text, words)
        if marked is text:
            return text
        return MARKS.sub(lambda match: self._by_rank[self._matcher.rank_of(match[0])], marked)
